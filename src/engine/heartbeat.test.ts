import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Heartbeat } from "./heartbeat.js";

test("a process that stops answering is silent after three seconds, and lost after thirty", () => {
  mock.timers.enable({ apis: ["setInterval"] });
  let questions = 0;
  let losses = 0;
  const heartbeat = new Heartbeat({ ask: () => questions++, onLost: () => losses++ });
  mock.timers.tick(2000);
  assert.equal(heartbeat.isSilent, false);
  heartbeat.answered();
  mock.timers.tick(3000);
  assert.equal(heartbeat.isSilent, true);
  heartbeat.answered();
  assert.equal(heartbeat.isSilent, false);
  mock.timers.tick(30_000);
  assert.deepEqual([heartbeat.isLost, losses], [true, 0]);
  mock.timers.tick(1000);
  assert.deepEqual([questions, losses], [35, 1]);
  heartbeat.stop();
  mock.timers.reset();
});
