"use strict";
// Every chart in sight is drawn, one after the other; one behind a tab when its tab is chosen. Until then, and without
// JavaScript, its still picture stands.
async function draw(chart) {
  const spec = JSON.parse(chart.querySelector("script").textContent);
  spec.width = "container";
  spec.height = Math.round(Math.min(spec.height, Math.max(260, 0.6 * chart.clientWidth)));
  const options = { mode: "vega-lite", renderer: "svg", ast: true, actions: false, tooltip: { theme: "custom" } };
  await vegaEmbed(chart.querySelector(".live"), spec, options);
  chart.classList.add("drawn");
}

async function drawShown() {
  for (const chart of document.querySelectorAll(".chart:not(.drawn, .drawing)")) {
    if (!chart.clientWidth) continue; // behind a tab
    chart.classList.add("drawing");
    await draw(chart).catch((error) => console.error("the still picture stays:", error));
  }
}

document.addEventListener("change", drawShown);
drawShown();
