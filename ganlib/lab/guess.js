// What a lesson asks: the reader commits to an answer, then sees what runs on fresh seeds gave.
import { make } from "./plot.js";

export class Guess {
  constructor(lab) {
    Object.assign(this, { lab, committed: new Map() }); // by lesson, as long as the page is open
    this.ask(lab.lesson);
  }

  ask({ name, more, predict: { question, options, answer, resolved } }) {
    const { lab } = this, group = `guess-${Math.random()}`;
    const radios = options.map((_, i) => make("input", { type: "radio", name: group, onchange: () => { commit.disabled = false; } }));
    const commit = lab.stage.button("Commit", () => {
      const chosen = radios.findIndex((radio) => radio.checked);
      if (chosen < 0) return;
      this.committed.set(name, chosen);
      settle(chosen);
      said.focus();
    }, { disabled: true });
    const said = make("p", { className: "lab-resolved", tabIndex: -1, hidden: true });
    const counts = make("details", { className: "live-more", innerHTML: more, hidden: true });
    const settle = (chosen) => {
      radios.forEach((radio, i) => Object.assign(radio, { checked: i === chosen, disabled: true }));
      commit.hidden = true;
      counts.hidden = said.hidden = false;
      said.append(make("strong", {}, chosen === answer ? "As you said. " : `You said ${options[chosen]}. `), resolved);
    };
    lab.stage.lesson.append(
      make("fieldset", { className: "lab-guess" }, make("legend", {}, make("strong", {}, "Predict: "), question),
        ...options.map((text, i) => make("label", {}, radios[i], text)), commit),
      said, counts);
    if (this.committed.has(name)) settle(this.committed.get(name));
  }
}
