// What is done in the document before it is printed; the text on paper is as wide as the window.

const paper = {
  async ready() {
    await document.fonts.ready;
    await Promise.all([...document.images].map((image) => image.decode().catch(() => null)));
  },

  // What is wider than the paper is made smaller, to a part of its size and no further.
  fit(smallest) {
    for (const box of document.querySelectorAll("table, div.math > .formula, .sd-row")) {
      const room = box.parentElement.clientWidth;
      if (box.scrollWidth > room + 1) box.style.zoom = Math.max(smallest, (0.995 * room) / box.scrollWidth);
    }
  },

  // The number of the page on which the target of each such link stands.
  number(pages) {
    for (const slot of document.querySelectorAll(".page-of")) slot.textContent = pages[slot.dataset.of];
  },

  faults() {
    const found = [];
    const width = document.documentElement.clientWidth;
    const where = (element) =>
      `${element.closest("section[id]")?.id}: ${element.tagName.toLowerCase()}.` +
      `${element.getAttribute("class") ?? ""} "${element.textContent.trim().replace(/\s+/g, " ").slice(0, 50)}"`;
    for (const image of document.images) {
      if (!image.naturalWidth) found.push(`no picture: ${image.getAttribute("src")}`);
    }
    for (const element of document.body.querySelectorAll("*")) {
      const box = element.getBoundingClientRect();
      if (!box.width || element.closest("svg")) continue;
      if (box.right > width + 1.5 || box.left < -1.5) found.push(`over the edge: ${where(element)}`);
      else if (element.scrollWidth > element.clientWidth + 2 && getComputedStyle(element).overflowX !== "visible") {
        found.push(`cut off: ${where(element)}`);
      }
    }
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { data, parentElement } = texts.currentNode;
      if (/\\\(|\\\[|\\begin\{|\$\$/.test(data) && !parentElement.closest("pre, code")) {
        found.push(`raw TeX: ${data.trim().slice(0, 60)}`);
      }
    }
    for (const link of document.querySelectorAll("a[href^='#']")) {
      const name = decodeURIComponent(link.getAttribute("href").slice(1));
      if (!document.getElementById(name)) found.push(`leads nowhere: #${name}`);
    }
    return found;
  },
};
