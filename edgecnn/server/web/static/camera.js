// The camera: one picture at a time, and off whenever it is out of sight. Browsers offer it in secure contexts only.

import { byId } from "./elements.js";

const QUALITY = 0.92;
const START = "Start the camera";
const PRIVATE = "The picture goes to this server only.";

/** Whether this browser may have a camera here. */
export function hasCamera() {
  return window.isSecureContext && typeof navigator.mediaDevices?.getUserMedia === "function";
}

/** Make the camera's panel work; `onPicture` gets each picture as a JPEG. Returns what switches the camera off. */
export function camera(onPicture) {
  const video = byId("video");
  const button = byId("shoot");
  const hint = byId("camera-hint");
  let stream = null;

  async function start() {
    button.disabled = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      await video.play();
      button.textContent = "Take the picture";
      hint.textContent = PRIVATE;
    } catch (error) {
      stop();
      hint.textContent = REASONS[error.name] ?? "The camera cannot be started.";
    }
    button.disabled = false;
  }

  function shoot() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && onPicture(blob), "image/jpeg", QUALITY);
  }

  function stop() {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = video.srcObject = null;
    button.textContent = START;
  }

  button.addEventListener("click", () => (stream === null ? start() : shoot()));
  document.addEventListener("visibilitychange", () => document.hidden && stop());
  return stop;
}

const REASONS = {
  NotAllowedError: "The camera may not be used here: allow it in the browser's settings.",
  NotFoundError: "There is no camera.",
  NotReadableError: "The camera is in use elsewhere.",
};
