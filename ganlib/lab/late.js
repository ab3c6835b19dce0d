// What comes after the first picture.
import { Charts, mesh, paths } from "./charts.js";
import { Desk } from "./desk.js";
import { Flow } from "./flow.js";
import { Guess } from "./guess.js";
import { Hand } from "./hand.js";
import { prepared } from "./own.js";
import { Replay } from "./replay.js";

export function furnish(lab) {
  Object.assign(lab, { hand: new Hand(lab), mesh, paths });
  lab.stage.root.onkeydown = (event) => lab.hand.shortcut(event);
  lab.stage.flow.replaceChildren();
  if (!lab.stage.embedded) lab.flow = new Flow(lab.stage.flow);
  lab.chart = (run) => { run.charts = new Charts(run); };
  lab.runs.forEach(lab.chart);
  lab.desk = new Desk(lab);
  lab.guess = new Guess(lab);
  lab.replay = new Replay(lab);
}

export function programmed(run) { return prepared(run); }
