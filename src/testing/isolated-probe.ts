/** A module that tries in an isolated process what strangers' code must not be able to do. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { Session } from "node:inspector";
import { createConnection } from "node:net";
import { SHARE_ENV, Worker } from "node:worker_threads";
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
  "start a thread": () => new Worker("", { eval: true }),
  "start a thread without a permission model": () => new Worker("", { eval: true, execArgv: [] }),
  "start a thread with more rights": () => new Worker("", { eval: true, execArgv: ["--allow-worker"] }),
  "share the process's environment": () => new Worker("", { eval: true, env: SHARE_ENV }),
  "load native code": () => process.dlopen({ exports: {} }, "/lib/x86_64-linux-gnu/libc.so.6"),
  "debug the process": () => new Session().connectToMainThread(),
  "reach the bindings of Node.js": () =>
    (process as unknown as { binding: (name: string) => unknown }).binding("fs"),
};

/** What is asked of the probe. */
export type ProbeRequest =
  | "succeeded"
  | "loop"
  | "exit"
  | "grow"
  | "allocate"
  | "count"
  /** Begin to connect to this port of the machine. */
  | { readonly port: number }
  /** What has become of that. */
  | "connection"
  /** Whether this process can be signalled. */
  | { readonly pid: number };

let asked = 0;
let connection = "pending";

function connect(port: number): void {
  const socket = createConnection(port, "127.0.0.1");
  socket.on("connect", () => {
    connection = "connected";
  });
  socket.on("error", ({ message }) => {
    connection = message;
  });
}

function canSignal(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function answer(request: ProbeRequest): unknown {
  asked++;
  if (typeof request === "object") {
    return "pid" in request ? canSignal(request.pid) : connect(request.port);
  }
  if (request === "connection") {
    return connection;
  }
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
