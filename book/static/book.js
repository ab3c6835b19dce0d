// Small repairs to what the theme makes; nothing here is needed to read a page.

// What scrolls sideways can be reached and scrolled by keyboard.
function reachScrollers() {
  const wide = "pre, .cell_output .output, .pst-scrollable-table-container, .table-scroll, " +
    "div.math, .wide-figure";
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

// What is folded: proofs, checks, code and solutions. A prediction's answer is not: the reader
// commits first; nor are the numbers of a live figure.
const FOLDED = ".bd-article details:not(.predict *, .ganlib-live *)";

// One switch opens all of it, on every page, and is remembered.
function switchFolds() {
  const key = "unfolded";
  const button = document.querySelector(".fold-switch");
  const set = (open) => {
    button?.setAttribute("aria-pressed", open);
    document.querySelectorAll(FOLDED).forEach((element) => { element.open = open; });
    reachScrollers();
  };
  let open = false;
  try { open = localStorage.getItem(key) === "yes"; } catch { /* nothing is kept */ }
  if (open) set(open);
  button?.addEventListener("click", () => {
    open = !open;
    try { localStorage.setItem(key, open ? "yes" : "no"); } catch { /* for this page alone */ }
    set(open);
  });
}

// An address may name what is folded, or what another page has now.
function follow() {
  const name = decodeURIComponent(location.hash.slice(1));
  if (!name) return;
  const target = document.getElementById(name);
  if (target) {
    let opened = false;
    for (let box = target; box; box = box.parentElement) {
      if (box.matches(FOLDED) && !box.open) box.open = opened = true;
    }
    if (opened) target.scrollIntoView();
    return;
  }
  const root = new URL(document.documentElement.dataset.content_root ?? "./", location.href);
  const script = document.createElement("script");
  script.src = new URL("_static/labels.js", root).href;
  script.onload = () => {
    const here = location.pathname.slice(root.pathname.length).replace(/\.html$/, "");
    const { pages, moved } = window.bookLabels;
    const page = Object.keys(pages).find((other) => pages[other].split(" ").includes(name));
    const to = moved[`${here}#${name}`] ?? (page && `${page}.html#${encodeURIComponent(name)}`);
    if (to) location.replace(new URL(to, root));
  };
  document.head.append(script);
}

// The zoo: a field above the first table hides the rows of all that lack what is typed.
function filterZoo() {
  const tables = document.querySelectorAll(".zoo");
  if (!tables.length) return;
  const label = document.createElement("label");
  label.className = "zoo-filter";
  label.innerHTML = 'Show only rows with <input type="search"> <span role="status"></span>';
  const [field, status] = label.querySelectorAll("input, span");
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  field.addEventListener("input", () => {
    const rows = [...document.querySelectorAll(".zoo tbody tr")];
    const words = plain(field.value).split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => plain(row.textContent).includes(word));
    status.textContent = field.value.trim() && `${rows.filter((row) => !row.hidden).length} rows`;
  });
  tables[0].closest("section").before(label);
}

// What is copied has the formulas as TeX, not as the characters of their boxes.
function copyTeX(event) {
  const selection = document.getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return;
  const range = selection.getRangeAt(0).cloneRange();
  // A formula is copied whole or not at all.
  const formula = (node) => (node.nodeType === 1 ? node : node.parentElement).closest(".math");
  const [first, last] = [range.startContainer, range.endContainer].map(formula);
  if (first) range.setStartBefore(first);
  if (last) range.setEndAfter(last);
  const part = document.createElement("div");
  part.append(range.cloneContents());
  const found = part.querySelectorAll(".math");
  if (!found.length) return;
  for (const math of found) {
    const tex = math.querySelector("annotation")?.textContent ?? "";
    math.replaceWith(math.tagName === "DIV" ? `\n$$${tex}$$\n` : `$${tex}$`);
  }
  // Lines break as they do on the page only while the copy is in it.
  part.style.cssText = "position: fixed; left: -200vw; white-space: pre-wrap";
  document.body.append(part);
  event.clipboardData.setData("text/plain", part.innerText);
  part.remove();
  event.preventDefault();
}

document.addEventListener("copy", copyTeX);

// The menus of the header: a press opens and closes them, Escape and a press elsewhere close.
function openMenus() {
  for (const button of document.querySelectorAll("[data-bs-toggle='dropdown']")) {
    const menu = button.nextElementSibling;
    const set = (open) => {
      button.setAttribute("aria-expanded", open);
      for (const element of [button, menu]) element.classList.toggle("show", open);
    };
    button.addEventListener("click", () => set(!menu.classList.contains("show")));
    document.addEventListener("click", (event) => button.parentElement.contains(event.target) || set(false));
    button.parentElement.addEventListener("focusout", (event) =>
      event.relatedTarget && !button.parentElement.contains(event.relatedTarget) && set(false));
    button.parentElement.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && menu.classList.contains("show")) {
        set(false);
        button.focus();
      } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        const items = [...menu.querySelectorAll("a, button")];
        const at = items.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
        event.preventDefault();
        set(true);
        items.at(Math.min(at < -1 ? -1 : at, items.length - 1)).focus();
      }
    });
  }
}

document.addEventListener("DOMContentLoaded", () => {
  switchFolds();
  openMenus();
  filterZoo();
  follow();
  window.addEventListener("hashchange", follow);
});
window.addEventListener("load", () => {
  reachScrollers();
  window.addEventListener("resize", reachScrollers);
});
