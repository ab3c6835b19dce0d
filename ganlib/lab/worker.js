// The worker of a run that trains in the page. It computes in slices, so that a message is heard at
// once, and sends a frame when the page has drawn the last one.

// `start(data, before)` makes the run, and with `data.on` goes on with the one before. It has `step`,
// `diverged`, `both()` and `frame()`, and `advance()` where a message asks for parts of a step. The
// actions are what else a page may ask for: each is called with the run, the message, and { stop, send,
// free }: pause it, send a frame, whether one is awaited.
export function work(scope, start, actions) {
  const SLICE = 15; // milliseconds
  const channel = new MessageChannel(); // a way to yield that no browser slows down
  const now = () => performance.now();
  let run, playing = false, rate = null, parts = false, until = Infinity, begun = 0, done = 0;
  let drawn = true, measured = { time: 0, step: 0, rate: 0 }, due = false;

  // A frame holds copies only, or views of the module's whole memory would be sent.
  const send = () => {
    drawn = false;
    const elapsed = (now() - measured.time) / 1000;
    if (playing && elapsed > 0.5)
      measured = { time: now(), step: run.step, rate: (run.step - measured.step) / elapsed };
    scope.postMessage({ type: "frame", frame: { ...run.frame(), playing, rate: playing ? measured.rate : 0 } });
  };

  const wanted = () => rate === null || begun + (1000 * (done + 1)) / rate <= now();

  const later = () => {
    if (due) return;
    due = true;
    const wait = rate === null ? 0 : begun + (1000 * (done + 1)) / rate - now();
    if (wait > 0) setTimeout(() => channel.port2.postMessage(0), wait);
    else channel.port2.postMessage(0);
  };

  channel.port1.onmessage = () => guarded(() => {
    due = false;
    if (!playing) return;
    const end = now() + SLICE;
    if (rate !== null && now() - begun > 1000 * (done + 1 + rate / 4) / rate) // it cannot keep up: no
      [begun, done] = [now() - 1000 / rate, 0]; // debts, but the step that is due
    while (wanted() && run.step < until && !run.diverged && now() < end) {
      if (parts) run.advance();
      else run.both();
      done++;
    }
    playing = run.step < until && !run.diverged;
    if (drawn || !playing) send();
    if (playing) later();
  });

  const shared = {
    async start(data) { playing &&= data.on; run = await start(data, run); },
    play(data) {
      playing = !run.diverged;
      ({ rate = null, until = Infinity, parts = false } = data);
      [begun, done] = [now(), 0];
      measured = { time: now(), step: run.step, rate: measured.rate };
      later();
    },
    pause() { playing = false; send(); },
    next() { drawn = true; },
  };
  const desk = { send, stop() { playing = false; }, free: () => !playing || drawn };
  const hear = (data) => (shared[data.type] ?? ((given) => actions[data.type](run, given, desk)))(data);

  const failed = (error) => {
    playing = false;
    scope.postMessage({ type: "failed", message: error.message });
  };
  const guarded = (action) => { try { action(); } catch (error) { failed(error); } };

  // One message after the other: a reset waits until its module has started.
  let queue = Promise.resolve();
  scope.onmessage = ({ data }) => { queue = queue.then(() => hear(data)).catch(failed); };
}
