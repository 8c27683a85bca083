// The viewer of volumes: NiiVue with the image below, the prediction as an area, the truth as a line.
"use strict";
(() => {
  const holder = document.getElementById("viewer-facts");
  if (!holder) return;
  const { labels, cases } = JSON.parse(holder.textContent);
  const find = (id) => document.getElementById(`viewer-${id}`);
  const canvas = find("canvas");
  const [choice, plane, slice, truth, prediction, opacity] =
    ["case", "plane", "slice", "truth", "prediction", "opacity"].map(find);
  const say = (text) => { find("message").textContent = text; };
  const axes = { sagittal: 0, coronal: 1, axial: 2, all: 2 };

  if (!document.createElement("canvas").getContext("webgl2")) {
    canvas.parentElement.hidden = true;
    say("This browser offers no WebGL 2, which the viewer needs. The slices above are all there.");
    return;
  }

  const view = new niivue.Niivue({
    backColor: [0.055, 0.067, 0.086, 1], crosshairColor: [0.75, 0.8, 0.85, 0.5], crosshairWidth: 1,
    crosshairWidthUnit: "percent", show3Dcrosshair: false, isRadiologicalConvention: true, isColorbar: false,
    dragAndDropEnabled: false, scrollRequiresFocus: true, clipPlaneHotKey: "", viewModeHotKey: "",
    multiplanarShowRender: 0, loadingText: "", logLevel: "error", isAntiAlias: true,
  });
  // Colours of the numbers 0 to `last`, 0 being the background; numbers of objects take them in turn.
  // A line over an area of its own colour must be lighter to be seen.
  const inks = (last, light = 0) => {
    const numbers = [...Array(last + 1).keys()];
    const part = (at) => numbers.map((n) => (n ? shade(labels[(n - 1) % labels.length].colour.slice(at, at + 2), light) : 0));
    return { R: part(1), G: part(3), B: part(5), A: numbers.map((n) => (n ? 255 : 0)), I: numbers, labels: [] };
  };

  const shade = (hex, light) => Math.round(parseInt(hex, 16) * (1 - light) + 255 * light);

  let loaded = -1;
  const count = () => view.volumes[0].dimsRAS[1 + axes[plane.value]];
  const index = () => Math.min(Math.floor(view.scene.crosshairPos[axes[plane.value]] * count()), count() - 1);

  function tell() {
    if (loaded < 0) return;
    slice.max = count();
    slice.value = index() + 1;
    find("slice-name").textContent = `${plane.value === "all" ? "axial" : plane.value} slice`;
    find("slice-text").textContent = `${index() + 1} of ${count()}`;
  }

  function go(to) {
    const place = Math.min(Math.max(to, 0), count() - 1);
    view.scene.crosshairPos[axes[plane.value]] = (place + 0.5) / count();
    view.drawScene();
    tell();
  }

  function dress() {
    view.setOpacity(1, prediction.checked ? opacity.value / 100 : 0);
    // A drawing of no opacity has no line either, so it keeps a trace of one.
    view.drawOpacity = truth.checked ? 0.004 : 0;
    view.drawRimOpacity = truth.checked ? 1 : -1;
    view.drawScene();
  }

  const turn = () => {
    const kinds = { axial: view.sliceTypeAxial, coronal: view.sliceTypeCoronal, sagittal: view.sliceTypeSagittal, all: view.sliceTypeMultiplanar };
    view.setSliceType(kinds[plane.value]);
    view.opts.crosshairWidth = plane.value === "all" ? 0.15 : 0;
    view.drawScene();
    tell();
  };

  const read = (kind, i, options) => niivue.NVImage.loadFromBase64({
    base64: document.getElementById(`${kind}-${i}`).textContent, name: `${kind}.nii.gz`, ...options,
  });

  // A volume opens on the slice that holds most of the truth.
  function start(image) {
    const [nx, ny, nz] = image.dimsRAS.slice(1);
    const sizes = [nx, ny, nz].map((n) => new Float64Array(n));
    const values = view.drawBitmap;
    for (let z = 0, i = 0; z < nz; z++) for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++, i++) {
      if (values[i]) { sizes[0][x]++; sizes[1][y]++; sizes[2][z]++; }
    }
    sizes.forEach((size, axis) => {
      const most = size.indexOf(Math.max(...size));
      view.scene.crosshairPos[axis] = (size[most] ? most + 0.5 : size.length / 2) / size.length;
    });
  }

  let queue = Promise.resolve();
  const show = (i) => { queue = queue.then(() => load(i)).catch((fault) => say(`This case cannot be shown (${fault.message}).`)); return queue; };

  async function load(i) {
    canvas.dataset.ready = "";
    loaded = -1;
    view.closeDrawing();
    while (view.volumes.length) view.removeVolumeByIndex(0);
    const image = await read("image", i, { colormap: "gray", cal_min: 0, cal_max: 255 });
    view.addVolume(image);
    const found = await read("prediction", i, { opacity: 0.45 });
    // NiiVue folds colours beyond the largest number onto it.
    found.setColormapLabel(inks(found.global_max));
    view.addVolume(found);
    view.setDrawColormap(inks(255, 0.55));
    view.loadDrawing(await read("truth", i, {}));
    start(image);
    loaded = i;
    choice.value = i;
    say("");
    dress();
    turn();
    canvas.dataset.ready = i;
  }

  choice.addEventListener("change", () => show(Number(choice.value)));
  plane.addEventListener("change", turn);
  slice.addEventListener("input", () => go(Number(slice.value) - 1));
  for (const control of [truth, prediction, opacity]) control.addEventListener("input", dress);
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowUp: 1, ArrowRight: 1, PageUp: 5, ArrowDown: -1, ArrowLeft: -1, PageDown: -5 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    go(index() + by);
  }, true);
  document.addEventListener("open-case", (event) => {
    document.getElementById("viewer").scrollIntoView();
    show(event.detail).then(() => canvas.focus({ preventScroll: true }));
  });
  view.onLocationChange = tell;
  document.fonts.ready.then(() => view.attachToCanvas(canvas)).then(() => cases.length && show(0));
})();
