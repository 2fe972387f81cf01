import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../errors.js";
import { checkExposure, isLoopback } from "./exposure.js";

test("loopback addresses are known in all their forms, and no others", () => {
  for (const address of [
    "127.0.0.1",
    "127.8.9.1",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
  ]) {
    assert.equal(isLoopback(address), true, address);
  }
  for (const address of [
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "127.evil.example",
    "localhost",
    "",
  ]) {
    assert.equal(isLoopback(address), false, address);
  }
});

test("an empty key is refused, and listening to others without one unless that is said", async () => {
  const open = { apiKey: undefined, withoutKey: false };
  for (const host of ["127.0.0.1", "localhost", "::ffff:127.0.0.1"]) {
    await checkExposure({ host, ...open });
    for (const apiKey of ["", " "]) {
      await assert.rejects(checkExposure({ ...open, host, apiKey }), /the API key is empty/);
    }
  }
  for (const host of ["0.0.0.0", "::", "192.168.1.5", "", "nowhere.invalid"]) {
    await assert.rejects(checkExposure({ host, ...open }), UsageError);
    await checkExposure({ ...open, host, withoutKey: true });
    await checkExposure({ ...open, host, apiKey: "sesame" });
    await assert.rejects(checkExposure({ ...open, host, apiKey: "" }), UsageError);
  }
});
