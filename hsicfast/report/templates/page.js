"use strict";
// Each chart takes the place of its picture; where one cannot be drawn, and in print, the picture stays.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  // A finger that drags over a chart wants to scroll the page.
  const touched = window.matchMedia("(pointer: coarse)").matches;
  const config = {
    responsive: true,
    displayModeBar: touched ? false : "hover",
    displaylogo: false,
    showSendToCloud: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg" },
  };
  const draw = async (place) => {
    const { data, layout } = charts[place.dataset.chart];
    if (touched) layout.dragmode = false;
    place.parentElement.classList.add("live");
    try {
      await Plotly.newPlot(place, data, layout, config);
    } catch (error) {
      place.parentElement.classList.remove("live");
      throw error;
    }
  };
  document.querySelectorAll("[data-chart]").forEach(draw);
})();
