// Predictions: the reader commits, then sees his answer beside the right one. What he said stays in
// this browser. Without this script the page holds the question, and the answer folded under it.
(() => {
  const keep = (call, ...words) => { // where nothing may be kept, the page works without
    try { return localStorage[call](...words); } catch { return null; }
  };
  const fill = (node, attributes, children = []) => {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const html = (name, attributes = {}, ...children) =>
    fill(document.createElement(name), attributes, children);
  const draw = (name, attributes, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
  const say = (x) => `${Math.abs(x) < 1000 ? +x.toPrecision(4) : Math.round(x)}`.replace("-", "−");

  // Each kind makes its entry: read() -> value or undefined, write(value or undefined),
  // verdict(value) -> [right, text], show(value), hide(), freeze(yes), first: what takes the focus.

  function choice(box, { truth }, place) {
    const type = truth.length > 1 ? "checkbox" : "radio";
    const list = box.querySelector(".predict-options");
    const items = [...list.children];
    const inputs = items.map((item, k) => {
      const input = html("input", { type, name: box.id, value: k + 1 });
      item.replaceChildren(html("label", {}, input, html("span", {}, ...item.childNodes)));
      return input;
    });
    place.append(list);
    return {
      first: inputs[0],
      read() {
        const chosen = inputs.filter((i) => i.checked).map((i) => +i.value);
        return chosen.length ? chosen : undefined;
      },
      write: (value = []) => inputs.forEach((i) => { i.checked = value.includes(+i.value); }),
      verdict(value) {
        const right = `${value}` === `${truth}`;
        return [right, right ? "" : `The answer: option${truth[1] ? "s" : ""} ${truth.join(" and ")}.`];
      },
      show: (value) => items.forEach((item, k) => {
        const right = truth.includes(k + 1);
        const mine = value.includes(k + 1) && (right ? "your answer" : "✗ your answer");
        const text = [right && "✓ right", mine].filter(Boolean).join(", ");
        if (text) item.append(html("span", { class: "predict-mark" }, text));
      }),
      hide: () => list.querySelectorAll(".predict-mark").forEach((mark) => mark.remove()),
    };
  }

  function number(box, { low, high, truth, within, unit }, place) {
    const input = html("input", { type: "number", step: "any", min: low ?? "", max: high ?? "" });
    const line = html("div", { class: "predict-line" });
    place.append(html("label", { class: "predict-entry" }, "Your number:", input, unit), line);
    return {
      first: input,
      read: () => (input.value && input.checkValidity() ? input.valueAsNumber : undefined),
      write: (value = "") => { input.value = value; },
      verdict(value) {
        const right = Math.abs(value - truth) <= within * (1 + 1e-9);
        const rule = right ? "" : ` Within ${say(within)} counts as right.`;
        return [right, `You said ${say(value)}${unit}, it is ${say(truth)}${unit}.${rule}`];
      },
      show(value) {
        const room = Math.abs(value - truth) || 1;
        const from = low ?? Math.min(value, truth) - room / 2;
        const to = high ?? Math.max(value, truth) + room / 2;
        const at = (x) => 20 + ((x - from) / (to - from)) * 360;
        const text = (x, y, said) => draw("text", { x, y,
          "text-anchor": x < 70 ? "start" : x > 330 ? "end" : "middle" }, said);
        const mark = (x, up, kind) => draw("path", { class: kind, d: `M${at(x)} 40l-6 ${up}h12z` });
        line.append(draw("svg", { viewBox: "0 0 400 92", "aria-hidden": true },
          draw("path", { class: "axes", d: "M20 40H380M20 34V46M380 34V46" }),
          text(20, 84, say(from)), text(380, 84, say(to)),
          mark(value, -12, "mine"), text(at(value), 22, `you: ${say(value)}`),
          mark(truth, 12, "fact"), text(at(truth), 68, `it is ${say(truth)}`)));
      },
      hide: () => line.replaceChildren(),
    };
  }

  // Handles on the axes that the page holds: where each starts; whether one moves sideways too;
  // what to call after each move.
  function handles(box, facts, place, start, free, moved) {
    const axes = box.querySelector(".predict-axes");
    const svg = axes.firstChild;
    const [left, top, right, bottom] = facts.box;
    const [[xName, x0, x1], [yName, y0, y1]] = [facts.x, facts.y];
    const spot = ([x, y]) => [left + ((x - x0) / (x1 - x0)) * (right - left),
      bottom - ((y - y0) / (y1 - y0)) * (bottom - top)];
    const inside = (x, low, high) => { // on the axis, to a hundredth of it
      const digits = Math.max(0, 2 - Math.floor(Math.log10(high - low)));
      return Math.min(Math.max(+x.toFixed(digits), low), high);
    };
    const truth = box.querySelector(".predict-truth .truth").cloneNode();
    const line = draw("path", { class: "mine" });
    const grips = start.map(() => draw("g", { role: "slider", tabindex: 0 },
      draw("circle", { r: 18 }), draw("circle", { r: 6.5 })));
    let points, touched, frozen, held;
    const update = () => {
      grips.forEach((grip, k) => {
        const [x, y] = points[k];
        fill(grip, {
          transform: `translate(${spot(points[k])})`,
          "aria-label": free ? `${xName} and ${yName}` : `${yName} at ${xName} ${say(x)}`,
          "aria-orientation": free ? "horizontal" : "vertical",
          "aria-valuemin": free ? x0 : y0,
          "aria-valuemax": free ? x1 : y1,
          "aria-valuenow": free ? x : y,
          "aria-valuetext": free ? `${xName} ${say(x)}, ${yName} ${say(y)}` : say(y),
        });
      });
      if (!free) line.setAttribute("d", `M${points.map(spot).join("L")}`);
      moved?.(points[0]);
    };
    const put = (k, x, y) => {
      if (frozen) return;
      points[k] = [free ? inside(x, x0, x1) : points[k][0], inside(y, y0, y1)];
      touched = true;
      update();
    };
    const keys = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0],
      PageUp: [0, 5], PageDown: [0, -5], Home: [0, -50], End: [0, 50] };
    grips.forEach((grip, k) => grip.addEventListener("keydown", (event) => {
      const [aside, up] = keys[event.key] ?? [];
      if (up === undefined) return;
      event.preventDefault();
      const [x, y] = points[k];
      put(k, x + (aside * (x1 - x0)) / 50, y + ((free ? up : up + aside) * (y1 - y0)) / 50);
    }));
    const follow = (event) => {
      const { x, y } = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(svg.getScreenCTM().inverse());
      const gaps = points.map((p) => Math.abs(spot(p)[0] - x));
      put(gaps.indexOf(Math.min(...gaps)), x0 + ((x - left) / (right - left)) * (x1 - x0),
        y0 + ((bottom - y) / (bottom - top)) * (y1 - y0));
    };
    svg.onpointerdown = (event) => {
      if (event.button) return;
      held = true;
      svg.setPointerCapture(event.pointerId);
      follow(event);
    };
    svg.onpointermove = (event) => held && follow(event);
    svg.onpointerup = svg.onpointercancel = () => { held = false; };
    fill(svg, { role: "group", "aria-label": `${xName} across, ${yName} upwards` }, [line, ...grips]);
    place.append(axes);
    return {
      first: grips[0],
      put,
      read: () => (touched ? points : undefined),
      write(value) {
        points = (value ?? start).map((p) => [...p]);
        touched = value;
        update();
      },
      freeze(yes) {
        frozen = yes;
        grips.forEach((grip) => fill(grip, { tabindex: yes ? -1 : 0, "aria-disabled": yes }));
      },
      show: () => line.before(truth),
      hide: () => truth.remove(),
    };
  }

  function curve(box, facts, place) {
    const [, low, high] = facts.y;
    const plot = handles(box, facts, place, facts.at.map((x) => [x, (low + high) / 2]));
    plot.verdict = (value) => {
      const off = facts.truth.map((z, k) => [Math.abs(value[k][1] - z), z, ...value[k]])
        .filter(([, z]) => z !== null);
      const mean = off.reduce((sum, [d]) => sum + d, 0) / off.length;
      const [, z, x, y] = off.reduce((a, b) => (b[0] > a[0] ? b : a));
      return [mean <= facts.within * (high - low),
        `Your curve (dashed) is ${say(mean)} off the right one (solid) on average, most at ` +
        `${facts.x[0]} ${say(x)}: you said ${say(y)}, it is ${say(z)}.`];
    };
    return plot;
  }

  function point(box, facts, place) {
    const axes = [facts.x, facts.y];
    const sliders = axes.map(([, min, max]) =>
      html("input", { type: "range", min, max, step: (max - min) / 200 }));
    const start = [axes.map(([, low, high]) => (low + high) / 2)];
    const plot = handles(box, facts, place, start, true, (now) => sliders.forEach((slider, k) => {
      slider.value = now[k];
      slider.setAttribute("aria-valuetext", say(now[k]));
    }));
    sliders.forEach((slider, k) => {
      place.append(html("label", { class: "predict-entry" }, axes[k][0], slider));
      slider.oninput = () => plot.put(0, ...sliders.map((s) => s.valueAsNumber));
    });
    plot.verdict = ([value]) => {
      const parts = axes.map(([, low, high], k) => (value[k] - facts.truth[k]) / (high - low));
      const [mine, right] = [value, facts.truth].map((p) => `(${p.map(say).join(", ")})`);
      return [Math.hypot(...parts) <= facts.within, `You said ${mine}, it is ${right}: the cross.`];
    };
    return plot;
  }

  function prepare(box) {
    const facts = JSON.parse(box.dataset.facts);
    const key = `prediction:${box.id}`;
    const question = box.querySelector(".predict-question");
    const answer = box.querySelector(".predict-answer");
    question.id = `${box.id}-question`;
    const fields = html("fieldset", { "aria-describedby": question.id },
      html("legend", {}, facts.task));
    const entry = { choice, number, curve, point }[facts.kind](box, facts, fields);
    const commit = html("button", { type: "submit" }, "Commit");
    const back = html("button", { type: "button" }, "Take it back");
    const status = html("p", { class: "predict-result", role: "status" });
    const form = html("form", { novalidate: "" }, fields, commit, back, status);

    function turn(value) { // to the answer, or back to the question
      const done = value !== undefined;
      fields.disabled = commit.hidden = answer.open = done;
      back.hidden = answer.hidden = !done;
      entry.freeze?.(done);
      entry.hide();
      const [right, text] = done ? entry.verdict(value) : [];
      box.dataset.right = right ?? "";
      status.textContent = done ? `${right ? "✓ Right." : "✗ Not right."} ${text}` : "";
      if (done) entry.show(value);
    }
    form.onsubmit = (event) => {
      event.preventDefault();
      const value = entry.read();
      if (commit.hidden) return;
      if (value === undefined) {
        status.textContent = facts.missing;
        return;
      }
      keep("setItem", key, JSON.stringify({ of: facts.of, value }));
      turn(value);
      answer.firstElementChild.focus({ preventScroll: true });
    };
    back.onclick = () => {
      keep("removeItem", key);
      entry.write();
      turn();
      entry.first.focus({ preventScroll: true });
    };
    answer.before(form);
    const { of, value } = JSON.parse(keep("getItem", key)) ?? {};
    const kept = of === facts.of ? value : undefined; // it was this very question
    entry.write(kept);
    turn(kept);
    box.dataset.ready = "";
  }

  document.querySelectorAll(".predict").forEach(prepare);
})();
