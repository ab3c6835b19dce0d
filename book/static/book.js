// Small repairs to what the theme makes; nothing here is needed to read a page.

// What scrolls sideways can be reached and scrolled by keyboard.
function reachScrollers() {
  const wide = "pre, .cell_output .output, .pst-scrollable-table-container, .table-scroll, " +
    "div.math, mjx-container[display='true']";
  for (const box of document.querySelectorAll(wide)) {
    const scrolls = box.scrollWidth > box.clientWidth + 1;
    if (scrolls && !box.hasAttribute("tabindex")) {
      box.tabIndex = 0;
      if (!box.hasAttribute("role")) box.setAttribute("role", "group");
      if (!box.hasAttribute("aria-label")) box.setAttribute("aria-label", "scrolls sideways");
      box.dataset.reached = "";
    } else if (!scrolls && "reached" in box.dataset) {
      for (const name of ["tabindex", "role", "aria-label", "data-reached"]) box.removeAttribute(name);
    }
  }
}

window.addEventListener("load", () => {
  reachScrollers();
  const ready = window.MathJax && MathJax.startup && MathJax.startup.promise;
  if (ready) ready.then(reachScrollers);
  window.addEventListener("resize", reachScrollers);
});
