// The search: Ctrl K, "/" or a link of the class `search-open` opens it over the page; search.html holds it in the page.
// Engine, index and the texts for excerpts are scripts of _static/search, loaded when the reader begins to search.

(() => {
  const ROOT = new URL(document.documentElement.dataset.content_root ?? "./", location.href);
  const SHOWN = 8; // pages, until the reader asks for more
  const PLACES = 2; // of each page
  const LENGTH = 180; // letters of an excerpt

  const scripts = new Map();
  function script(name) {
    if (!scripts.has(name)) scripts.set(name, new Promise((resolve, reject) => {
      const made = document.createElement("script");
      made.src = new URL(`_static/search/${name}.js`, ROOT).href;
      made.onload = resolve;
      made.onerror = () => {
        scripts.delete(name); // the next try asks again
        made.remove();
        reject(new Error(`${name} could not be loaded`));
      };
      document.head.append(made);
    }));
    return scripts.get(name);
  }
  const ready = () => script("engine").then(() => script("index"));

  function element(name, attributes, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // The paragraph with most of the words looked for, cut around the first of them, with all of them marked.
  function excerpt(text, terms) {
    const looked = new Set(terms);
    let best = null;
    for (const paragraph of text.split("\n")) {
      const marks = [];
      for (const match of paragraph.matchAll(bookSearch.WORD)) {
        const found = bookSearch.terms(match[0]).filter((term) => looked.has(term));
        if (found.length) marks.push({ from: match.index, to: match.index + match[0].length, found });
      }
      const different = new Set(marks.flatMap((mark) => mark.found)).size;
      const worth = different + (paragraph.length < LENGTH / 3 ? 0 : 0.5); // prose before titles
      if (!best || worth > best.worth) best = { paragraph, marks, worth };
    }
    const { paragraph, marks } = best;
    let from = Math.max(0, (marks[0]?.from ?? 0) - LENGTH / 3);
    if (paragraph.length - from < LENGTH) from = Math.max(0, paragraph.length - LENGTH);
    if (from) from = paragraph.indexOf(" ", from) + 1;
    let to = Math.min(paragraph.length, from + LENGTH);
    if (to < paragraph.length) to = Math.max(paragraph.lastIndexOf(" ", to), marks[0]?.to ?? from);
    const parts = [from ? "… " : ""];
    let at = from;
    for (const mark of marks.filter((mark) => mark.from >= from && mark.to <= to)) {
      parts.push(paragraph.slice(at, mark.from), element("mark", {}, paragraph.slice(mark.from, mark.to)));
      at = mark.to;
    }
    parts.push(paragraph.slice(at, to), to < paragraph.length ? " …" : "");
    return parts;
  }

  // Field, number of pages and list, in a box of its own; `leave` is called when a result is taken.
  function searcher(leave) {
    const field = element("input", {
      type: "text", id: "book-search-field", name: "q", inputmode: "search", enterkeyhint: "search", autocomplete: "off",
      autocapitalize: "off", spellcheck: "false", "aria-describedby": "book-search-help",
    });
    const form = element("form", { role: "search", action: new URL("search.html", ROOT).href },
      element("label", { for: "book-search-field" }, "Search the book"), field);
    const help = element("p", { id: "book-search-help", class: "search-help" },
      "Arrow keys move through the results, Enter opens one.");
    const status = element("p", { role: "status", "aria-live": "polite", class: "search-status" });
    const list = element("ol", { class: "search-results", "aria-label": "Pages found" });
    const more = element("button", { type: "button", class: "search-more" });
    const box = element("div", { class: "search-box" }, form, help, status, list, more);
    more.hidden = true;
    let pages = [], asked = null, timer = 0;

    function line(page, hit) {
      const address = new URL(`${page.page}.html#${hit.id}`, ROOT).href;
      const link = element("a", { href: address }, hit.heading);
      const text = element("p", { class: "search-excerpt", "data-page": page.page });
      text.hit = hit;
      return element("li", {}, link, text);
    }

    function group(page) {
      const first = page.hits[0].first ? page.hits[0] : null;
      const rest = page.hits.filter((hit) => !hit.first).slice(0, first ? PLACES - 1 : PLACES);
      const whole = element("li", {}, element("a", { href: new URL(`${page.page}.html`, ROOT).href }, page.title));
      if (first) {
        const text = element("p", { class: "search-excerpt", "data-page": page.page });
        text.hit = first;
        whole.append(text);
      }
      if (rest.length) whole.append(element("ul", {}, ...rest.map((hit) => line(page, hit))));
      return whole;
    }

    // Excerpts come when the reader stops typing.
    function fill() {
      for (const text of list.querySelectorAll(".search-excerpt:empty")) {
        script(`pages/${text.dataset.page}`).then(() => {
          const told = bookSearch.texts.get(text.dataset.page)[text.hit.id];
          if (told && !text.childNodes.length) text.append(...excerpt(told, text.hit.terms));
        }, () => {}); // a result without its excerpt is one still
      }
    }

    function show(all) {
      list.replaceChildren(...pages.slice(0, all ? pages.length : SHOWN).map(group));
      const left = all ? 0 : pages.length - SHOWN;
      more.hidden = left <= 0;
      more.textContent = left === 1 ? "1 more page" : `${left} more pages`;
      clearTimeout(timer);
      timer = setTimeout(fill, all ? 0 : 150);
    }

    async function search() {
      const query = field.value.trim();
      if (query === asked) return;
      asked = query;
      try {
        await ready();
      } catch (error) {
        asked = null;
        status.textContent = `The search does not work here: ${error.message}.`;
        return;
      }
      if (query !== field.value.trim()) return; // a later one is under way
      pages = query ? bookSearch.find(query) : [];
      show(false);
      list.scrollTop = 0;
      const count = pages.length === 1 ? "1 page" : `${pages.length} pages`;
      status.textContent = !query ? "" : pages.length ? `${count} found` : "Nothing found. Try another word for it.";
    }

    field.addEventListener("focus", () => ready().catch(() => {}), { once: true });
    field.addEventListener("input", search);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      await search();
      list.querySelector("a")?.click();
    });
    more.addEventListener("click", () => {
      show(true);
      list.children[SHOWN]?.querySelector("a").focus();
    });
    list.addEventListener("click", (event) => {
      if (event.target.closest("a") && !event.ctrlKey && !event.metaKey && !event.shiftKey) leave?.();
    });
    box.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
      const stops = [field, ...list.querySelectorAll("a")];
      const next = stops[stops.indexOf(document.activeElement) + step];
      if (stops.includes(document.activeElement) && next) {
        event.preventDefault();
        next.focus();
      }
    });
    return { box, field, search };
  }

  const inPage = document.getElementById("search-here");
  let here = null, dialog = null;

  function open() {
    if (!here) {
      dialog = element("dialog", { class: "search-dialog", "aria-label": "Search" });
      const close = element("button", { type: "button", class: "search-close" }, "Close");
      close.addEventListener("click", () => dialog.close());
      here = searcher(() => dialog.close());
      dialog.append(close, here.box);
      dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
      document.body.append(dialog);
    }
    if (dialog && !dialog.open) dialog.showModal();
    here.field.focus();
    here.field.select();
  }

  if (inPage) {
    here = searcher();
    inPage.append(here.box);
    here.field.value = new URLSearchParams(location.search).get("q") ?? "";
    here.field.focus();
    here.search();
    here.field.addEventListener("change", () => {
      const query = new URLSearchParams({ q: here.field.value });
      history.replaceState(null, "", `?${query}`);
    });
  }

  for (const opener of document.querySelectorAll(".search-open")) {
    opener.setAttribute("role", "button");
    opener.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      open();
    });
    opener.addEventListener("keydown", (event) => { if (event.key === " ") { event.preventDefault(); open(); } });
  }

  const typing = (target) => target.isContentEditable || /^(input|textarea|select)$/i.test(target.tagName);
  addEventListener("keydown", (event) => {
    if (event.altKey || event.isComposing) return;
    const asked = (event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "k";
    const slash = event.key === "/" && !event.ctrlKey && !event.metaKey && !typing(event.composedPath()[0]);
    if (!asked && !slash) return;
    event.preventDefault();
    if (asked && dialog?.open) dialog.close();
    else open();
  });
})();
