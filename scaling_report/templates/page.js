"use strict";
// A chart is drawn when it first comes near the screen. Until then, and without JavaScript, its still picture stands.
async function draw(chart) {
  const spec = JSON.parse(chart.querySelector("script").textContent);
  spec.width = "container";
  spec.height = Math.round(Math.min(spec.height, Math.max(260, 0.6 * chart.clientWidth)));
  const options = { mode: "vega-lite", renderer: "svg", ast: true, actions: false, tooltip: { theme: "custom" } };
  await vegaEmbed(chart.querySelector(".live"), spec, options);
  chart.classList.add("drawn");
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target).catch((error) => console.error("the still picture stays:", error));
    }
  },
  { rootMargin: "400px" },
);
for (const chart of document.querySelectorAll(".chart")) near.observe(chart);
