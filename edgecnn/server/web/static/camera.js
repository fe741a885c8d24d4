// The camera tab. It takes one photo at a time, and stops the camera when the tab or the page is hidden.
//
// Browsers allow the camera only in secure contexts.

import { byId } from "./elements.js";

const QUALITY = 0.92;
const START = "Start the camera";
const PRIVACY = "The page sends the photo to this server only.";

/** Return whether the browser supports a camera on this page. */
export function hasCamera() {
  return window.isSecureContext && typeof navigator.mediaDevices?.getUserMedia === "function";
}

/** Set up the camera panel. Calls `onPhoto` with each photo, a JPEG file. Returns a function that stops the camera. */
export function setUpCamera(onPhoto) {
  const video = byId("video");
  const button = byId("camera-button");
  const hint = byId("camera-hint");
  let stream = null;

  async function start() {
    button.disabled = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      await video.play();
      button.textContent = "Take a photo";
      hint.textContent = PRIVACY;
    } catch (error) {
      stop();
      hint.textContent = REASONS[error.name] ?? "The camera does not start.";
    }
    button.disabled = false;
  }

  function takePhoto() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && onPhoto(blob), "image/jpeg", QUALITY);
  }

  function stop() {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = video.srcObject = null;
    button.textContent = START;
  }

  button.addEventListener("click", () => (stream === null ? start() : takePhoto()));
  document.addEventListener("visibilitychange", () => document.hidden && stop());
  return stop;
}

const REASONS = {
  NotAllowedError: "The browser blocks the camera. Allow it in the browser's settings.",
  NotFoundError: "The browser found no camera.",
  NotReadableError: "Another application uses the camera.",
};
