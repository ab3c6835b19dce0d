// Bring the live figures of a page without a kernel to life, each when it comes near the view.
// Everything arrives by <script>, which works where fetch does not: from file://.
(() => {
  const arrived = {}, asked = {}, styles = new Set();

  // Files of one folder; each is named by the digest under which it announces itself.
  const load = (folder, digest) => asked[folder + digest] ??= new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = `${folder}${digest}.js`;
    script.onload = () => done(arrived[digest]);
    script.onerror = () => {
      delete asked[folder + digest]; // the next figure may try again
      fail(new Error(`${script.src} could not be loaded`));
    };
    document.head.append(script);
  });

  window.ganlibLive = {
    widget: (kind, digest, widget) => { arrived[digest] = widget; },
    state: (digest, state) => { arrived[digest] = state; },
    part: (digest, part) => { arrived[digest] = part; },
  };

  // What a widget asks of anywidget's model, without a kernel behind it.
  const model = (state, folder) => {
    const values = { ...state, modules: {} }, heard = {};
    for (const [name, digest] of Object.entries(state.modules))
      values.modules[name] = async () =>
        Uint8Array.from(atob(await load(folder, digest)), (c) => c.charCodeAt(0)).buffer;
    return {
      static: true,
      // What a widget asks for after its first picture, made of what it shares.
      async late(shared) {
        const { css, ...parts } = (await load(folder, state.late))(shared);
        style(css);
        return parts;
      },
      get: (name) => values[name],
      set(name, value) {
        const same = JSON.stringify(values[name]) === JSON.stringify(value);
        values[name] = value;
        if (!same) for (const f of [...heard[`change:${name}`] ?? []]) f(this, value);
      },
      save_changes() {},
      on(event, f) { (heard[event] ??= new Set()).add(f); },
      off(event, f) { f ? heard[event]?.delete(f) : delete heard[event]; },
    };
  };

  const style = (css) => {
    if (styles.has(css)) return;
    styles.add(css);
    document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
  };

  const enliven = async (figure) => {
    const el = figure.appendChild(document.createElement("div"));
    el.className = "ganlib-view";
    try {
      const [, folder, digest] = figure.dataset.state.match(/^(.*\/)([^/]+)\.js$/);
      const state = await load(folder, digest);
      const { render, css } = await load(folder, state.bundle);
      style(css);
      await render({ model: model(state, folder), el });
      figure.dataset.live = "yes"; // the style hides the still, except on paper
    } catch (error) {
      console.error(error);
      el.className = "ganlib-failed";
      el.setAttribute("role", "status");
      el.textContent = `This figure stays a picture: ${error.message}. `;
      const again = el.appendChild(document.createElement("button"));
      Object.assign(again, { type: "button", textContent: "Try again", onclick: () => {
        el.remove();
        enliven(figure);
      } });
      figure.dataset.live = "no";
    }
  };

  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries)
      if (isIntersecting) { near.unobserve(target); enliven(target); }
  }, { rootMargin: "200px" });
  for (const figure of document.querySelectorAll(".ganlib-live[data-state]")) {
    near.observe(figure);
    // A link with settings of a figure opens at that figure.
    if (location.hash.includes(`lab.${figure.dataset.name}=`)) figure.scrollIntoView();
  }
})();
