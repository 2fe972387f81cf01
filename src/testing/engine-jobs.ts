/** Jobs with which the tests of the engine provoke what must not happen. */

import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { defineJob, type JobHost } from "../engine/job.js";
import { noFiles, readsModel } from "../engine/job-files.js";
import { UsageError } from "../errors.js";

interface Params {
  readonly path: string;
}

/** Decodes without end; says when it begins. */
export const decodeForever = defineJob(
  import.meta.url,
  "decodeForever",
  readsModel,
  ({ path }: Params, host: JobHost<"begun">) => {
    const context = host.model({ path }).createContext({ contextLength: 2048, threads: 1 });
    const tokens = new Int32Array(2048).fill(100);
    for (let count = 0; ; count++) {
      if (count === 1) {
        host.emit("begun");
      }
      context.clear();
      context.decode([{ sequence: 0, position: 0, tokens: count === 0 ? [1] : tokens, logitsFrom: 0 }]);
    }
  },
);

/** Everything that this process was given of an environment: as Node.js and as native code see it. */
export const readEnvironment = defineJob(
  import.meta.url,
  "readEnvironment",
  noFiles,
  (_: Params): { readonly variables: NodeJS.ProcessEnv; readonly memory: string } => ({
    variables: { ...process.env },
    memory: process.platform === "linux" ? readFileSync("/proc/self/environ", "utf8") : "",
  }),
);

/** Never returns and never looks at a cancellation. */
export const loopForever = defineJob(
  import.meta.url,
  "loopForever",
  noFiles,
  (_: Params, host: JobHost<"begun">) => {
    host.emit("begun");
    for (;;) {}
  },
);

/** Fails an assertion in llama.cpp: reads past the end of a tensor. */
export const failAssertion = defineJob(
  import.meta.url,
  "failAssertion",
  readsModel,
  ({ path }: Params, host: JobHost) => {
    const model = host.model({ path });
    const address = model.weights().get("output_norm.weight")?.address ?? 0;
    host.library.native.ggml_backend_tensor_get(address, new Uint8Array(8), 1e9, 8);
  },
);

/** Reads memory that is not there. */
export const readNowhere = defineJob(
  import.meta.url,
  "readNowhere",
  readsModel,
  ({ path }: Params, host: JobHost) => {
    host.model({ path });
    host.library.native.llama_n_ctx(8);
  },
);

/** Throws one of our errors, or another. */
export const throwError = defineJob(
  import.meta.url,
  "throwError",
  noFiles,
  ({ own }: { own: boolean }, _host: JobHost) => {
    throw own ? new UsageError("not like this.", { option: "x" }) : new TypeError("a bug");
  },
);

/** Sends events, and gives back what it got. */
export const echo = defineJob(
  import.meta.url,
  "echo",
  noFiles,
  async ({ values }: { values: Float32Array }, host: JobHost<number>) => {
    for (const value of values) {
      host.emit(value);
    }
    return { values, sum: values.reduce((a, b) => a + b, 0) };
  },
);

/** Answers each message, asleep in between, until it is told to end. */
export const answerMessages = defineJob(
  import.meta.url,
  "answerMessages",
  noFiles,
  (_: Params, host: JobHost<string, string>): number => {
    for (let count = 0; ; ) {
      host.waitForMessage();
      if (host.isCancelled()) {
        return count;
      }
      for (let next = host.receive(); next !== undefined; next = host.receive()) {
        if (next === "end") {
          return count;
        }
        host.emit(`${next}!`);
        count++;
      }
    }
  },
);

/** What native code that has gone wrong could reach: each attempt, and what came of it. */
export const lookAround = defineJob(
  import.meta.url,
  "lookAround",
  readsModel,
  async (params: Attempts, host: JobHost): Promise<Record<keyof Attempts, string>> => {
    const attempt = (action: () => unknown) => {
      try {
        return String(action());
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? String(error);
      }
    };
    return {
      path: host.model({ path: params.path }).facts.architecture,
      secret: attempt(() => readFileSync(params.secret, "utf8")),
      planted: attempt(() => writeFileSync(params.planted, "planted")),
      damaged: attempt(() => writeFileSync(params.damaged, "damaged", { flag: "r+" })),
      port: await new Promise((resolve) => {
        const socket = connect(params.port, "127.0.0.1", () => resolve("connected"));
        socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      }),
      stopped: attempt(() => process.kill(params.stopped, 0)),
    };
  },
);

/** What `lookAround` tries. */
export interface Attempts extends Params {
  /** File to read. */
  readonly secret: string;
  /** File to make. */
  readonly planted: string;
  /** File to write into. */
  readonly damaged: string;
  /** Port of this machine to connect to. */
  readonly port: number;
  /** Process to signal. */
  readonly stopped: number;
}
