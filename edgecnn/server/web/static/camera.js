// The camera tab. It takes one photo at a time, and stops the camera when the tab or the page is hidden.
//
// Browsers allow the camera only in secure contexts.

import { byId } from "./elements.js";
import { say } from "./words.js";

const QUALITY = 0.92;

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
      say(button, "page.camera_take");
      say(hint, "page.camera_privacy");
    } catch (error) {
      stop();
      say(hint, REASONS[error.name] ?? "page.camera_fails");
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
    say(button, "page.camera_start");
  }

  button.addEventListener("click", () => (stream === null ? start() : takePhoto()));
  document.addEventListener("visibilitychange", () => document.hidden && stop());
  return stop;
}

const REASONS = {
  NotAllowedError: "page.camera_blocked",
  NotFoundError: "page.camera_missing",
  NotReadableError: "page.camera_used",
};
