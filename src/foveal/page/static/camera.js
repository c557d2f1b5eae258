// A picture from the camera.

import { byId } from "./elements.js";
import { Fault } from "./fault.js";

const WHY = {
  NotAllowedError: "The camera is not allowed on this page. Allow it in the browser's settings of this site, then try again.",
  NotFoundError: "No camera was found on this machine.",
  NotReadableError: "The camera is in use by another program.",
};

// ontake(file, name), onfault(sentence). Without a camera that may be used, its button stays away.
export function createCamera({ ontake, onfault }) {
  const [dialog, video] = [byId("camera"), byId("camera-video")];
  byId("open-camera").hidden = !navigator.mediaDevices?.getUserMedia; // absent, too, where the address is not secure
  let [stream, number, asked] = [null, 0, false];

  async function open() {
    if (asked) return; // a second click would open a second stream
    asked = true;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      video.srcObject = stream;
      dialog.showModal();
      await video.play().catch(() => {}); // closed before it began
    } catch (error) {
      onfault(new Fault(WHY[error.name] ?? "The camera could not be started."));
    } finally {
      asked = false;
    }
  }

  function take() {
    if (!dialog.open || !video.videoWidth) return;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    canvas.toBlob(content => ontake(content, `camera-${++number}.png`), "image/png");
  }

  byId("open-camera").addEventListener("click", open);
  byId("take").addEventListener("click", take);
  byId("close-camera").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    video.srcObject = null;
  });
}
