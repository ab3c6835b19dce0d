// The search of the book: how a word is normalised, how sections are ranked, how hits are grouped by page.
// The same file makes the index when the book is built (tools/search_node.js) and answers in the page.
// It stands after MiniSearch in _static/search/engine.js.

globalThis.bookSearch = (() => {
  const STOP = new Set(("a about after all also am an and any are as at be because been being but by can could did " +
    "do does doing don for from get gets getting goes going gone had has have having he her here his how i if in into is it " +
    "its just keep keeps me my no of on one or our shall she should so such than that the their them then there " +
    "these they this those to too up us very was we were what when where which while who why will with would you your"
  ).split(" "));

  // A word that stands on every page, asked alone ("what is a GAN?"): its long form stands where it is explained.
  const ALONE = { gan: "generative adversarial network" };

  // British spelling, plurals and endings: "normalizing" and "normalisation" are one word.
  function stem(word) {
    if (/\d/.test(word) || word.length < 4) return word;
    let w = word.replace(/is(e[ds]?|ing|ations?|ers?)$/, "iz$1").replace(/ys(e[ds]?|ing|ers?)$/, "yz$1");
    if (w.length > 4) w = w.replace(/our/, "or").replace(/tre(s?)$/, "ter$1");
    if (/(ss|x|ch|sh)es$/.test(w)) w = w.slice(0, -2);
    else if (/[^aeiou]ies$/.test(w)) w = w.slice(0, -3) + "y";
    else if (/[^siu]s$/.test(w)) w = w.slice(0, -1);
    w = w.replace(/iz(ation|er)$/, "iz").replace(/(?<=[aeiouy].*[^e])(ing|ed)$/, (end, _, at) => (at > 2 ? "" : end));
    w = w.replace(/(?<=..)e$/, "");
    return w.replace(/([bdfglmnprt])\1$/, "$1");
  }

  // What of a piece of text is looked up; "Non-saturating" gives "nonsaturat", "non" and "saturat".
  const WORD = /[\p{L}\p{N}]+(?:[.,]\d+|(?:[-‐‑–’'][\p{L}\p{N}]+))*/gu;
  const tokens = (text) => text.match(WORD) ?? [];
  function terms(token) {
    const plain = token.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/[’']s$/, "");
    const parts = plain.split(/[-‐‑–’']/).filter(Boolean);
    const joined = parts.length > 1 ? [stem(parts.join(""))] : [];
    const kept = parts.filter((part) => (/^\d/.test(part) || part.length > 1) && !STOP.has(part)).map(stem);
    return [...new Set([...joined, ...kept])];
  }

  const OPTIONS = {
    fields: ["heading", "title", "keywords", "text", "names", "code"],
    tokenize: tokens,
    processTerm: terms,
  };
  const BOOST = { heading: 3, title: 2, keywords: 4, names: 2, text: 1, code: 0.5 };
  const WEIGHTS = { prefix: 0.4, fuzzy: 0.2 };
  const PAGE = 0.5; // of the words that a query shares with a section and with its page, how much the latter counts
  const LEAST = 0.1; // of the best page's score, or a page is not listed
  const LESS = [[/^exercises$|^further reading$/i, 0.6]]; // sections that come after those that teach

  let mini = null, sections = [], pages = [];

  // The index: MiniSearch's, the sections [page, id, heading], and the pages [name, title, weight].
  function load(made) {
    mini = MiniSearch.loadJS(made.index, OPTIONS);
    ({ sections, pages } = made);
  }

  function build(given) {
    const made = { pages: [], sections: [] };
    mini = new MiniSearch(OPTIONS);
    for (const page of given) {
      page.sections.forEach((section, number) => {
        const first = number === 0;
        mini.add({
          id: made.sections.length,
          heading: first ? "" : section.heading,
          title: page.topic,
          keywords: first ? page.keywords.join(", ") : "",
          text: section.text, names: section.names, code: section.code,
        });
        made.sections.push([made.pages.length, section.id, first ? "" : section.heading]);
      });
      made.pages.push([page.name, page.title, page.weight]);
    }
    return { ...made, index: mini.toJSON() };
  }

  // The pages that answer a query, best first: [{page, title, score, hits: [{id, heading, terms}]}].
  function find(query) {
    const words = tokens(query).map(terms).filter((list) => list.length);
    if (!words.length) return [];
    if (words.length === 1 && Object.hasOwn(ALONE, words[0][0])) return find(ALONE[words[0][0]]);
    const found = mini.search(query, {
      boost: BOOST,
      weights: WEIGHTS,
      prefix: (term) => term.length > 2 && !/\d/.test(term),
      fuzzy: (term) => (term.length > 5 && !/\d/.test(term) ? 0.2 : false),
    });
    const groups = new Map();
    for (const { id, score, queryTerms, match } of found) {
      const [page, place, heading] = sections[id];
      const seen = words.map((list) => list.some((term) => queryTerms.includes(term)));
      const less = LESS.find(([pattern]) => pattern.test(heading))?.[1] ?? 1;
      const hit = { id: place, heading, first: heading === "", terms: Object.keys(match), seen, score: score * less };
      if (!groups.has(page)) groups.set(page, []);
      groups.get(page).push(hit);
    }
    const share = (seen) => seen.filter(Boolean).length / seen.length;
    const ranked = [...groups].map(([number, hits]) => {
      const whole = share(words.map((_, number) => hits.some((hit) => hit.seen[number])));
      for (const hit of hits) hit.score *= (share(hit.seen) * (1 - PAGE) + whole * PAGE) ** 2;
      hits.sort((one, other) => other.score - one.score);
      const [page, title, weight] = pages[number];
      const sum = hits.slice(0, 3).reduce((total, hit, place) => total + hit.score / 2 ** place, 0);
      return { page, title, score: sum * weight, hits };
    }).sort((one, other) => other.score - one.score);
    return ranked.filter(({ score }) => score >= LEAST * ranked[0].score);
  }

  return { build, load, find, terms, WORD, texts: new Map() };
})();
