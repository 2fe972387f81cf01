/** A module that tries in an isolated process what strangers' code must not be able to do. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { serveRequests } from "../isolation/serve.js";

const attempts: Readonly<Record<string, () => unknown>> = {
  "read a file": () => readFileSync("/etc/passwd"),
  "write a file": () => writeFileSync("lopsided-probe", ""),
  "start a process": () => {
    const { error } = spawnSync(process.execPath, ["--version"]);
    if (error) {
      throw error;
    }
  },
  "make code from a string": () => Function("return 1")(),
  "see the environment": () => {
    if (Object.keys(process.env).length === 0) {
      throw new Error("empty");
    }
  },
};

/** What is asked of the probe. */
export type ProbeRequest = "succeeded" | "loop" | "exit" | "grow" | "allocate" | "count";

let asked = 0;

function answer(request: ProbeRequest): unknown {
  asked++;
  if (request === "count") {
    return asked;
  }
  if (request === "loop") {
    for (;;) {}
  }
  if (request === "exit") {
    process.exit(0);
  }
  if (request === "grow") {
    const kept: number[][] = [];
    for (;;) {
      kept.push(new Array(1000).fill(kept.length));
    }
  }
  if (request === "allocate") {
    const kept: Uint8Array[] = [];
    for (;;) {
      kept.push(new Uint8Array(2 ** 24).fill(1));
    }
  }
  return Object.keys(attempts).filter((name) => {
    try {
      attempts[name]?.();
      return true;
    } catch {
      return false;
    }
  });
}

serveRequests(answer);
