"use strict";
// Every chart in sight is drawn, one after the other; one behind a tab when its tab is chosen. Until then, and without
// JavaScript, its still picture stands and its controls are hidden.
const views = new WeakMap();

async function loadVega() {
  const packed = Uint8Array.from(atob(document.getElementById("vega").textContent), (sign) => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script"); // the page's policy knows its hash
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function controlsOf(chart) {
  return [...chart.parentElement.querySelectorAll(".controls input")];
}

// What the checkboxes say: a parameter is on or off, or the list of the values that are switched off.
function parameters(chart) {
  const values = {};
  for (const box of controlsOf(chart)) {
    const name = box.dataset.drives;
    if (name === "log") continue;
    if (box.hasAttribute("value")) values[name] = (values[name] || []).concat(box.checked ? [] : [box.value]);
    else values[name] = box.checked;
  }
  return values;
}

async function draw(chart) {
  const spec = JSON.parse(chart.querySelector("script").textContent);
  const values = parameters(chart);
  for (const parameter of spec.params || []) {
    if (parameter.name in values) parameter.value = values[parameter.name];
  }
  if (controlsOf(chart).some((box) => box.dataset.drives === "log" && box.checked)) spec.encoding.y.scale.type = "log";
  spec.width = "container";
  spec.height = Math.round(Math.min(spec.height, Math.max(260, 0.6 * chart.clientWidth)));
  const options = { mode: "vega-lite", renderer: "svg", ast: true, actions: false, tooltip: { theme: "custom" } };
  const before = views.get(chart);
  const drawn = await vegaEmbed(chart.querySelector(".live"), spec, options);
  if (before) before.finalize();
  views.set(chart, drawn);
  chart.classList.add("drawn");
  for (const controls of chart.parentElement.querySelectorAll(".controls")) controls.hidden = false;
}

async function drawShown() {
  for (const chart of document.querySelectorAll(".chart:not(.drawn, .drawing)")) {
    if (!chart.clientWidth) continue; // behind a tab
    chart.classList.add("drawing");
    await draw(chart).catch((error) => console.error("the still picture stays:", error));
  }
}

async function change(event) {
  const box = event.target.closest(".controls input");
  if (!box) return drawShown();
  const chart = box.closest("figure").querySelector(".chart");
  if (box.dataset.drives === "log") return draw(chart);
  const view = views.get(chart).view;
  for (const [name, value] of Object.entries(parameters(chart))) view.signal(name, value);
  await view.runAsync();
}

loadVega().then(() => {
  document.addEventListener("change", change);
  return drawShown();
}, (error) => console.error("the still pictures stay:", error));
