/** The page's side of the solver. */
import type { Allocation, AllocationOption } from "../../budget/allocation.js";
import type { SolverReply, SolverRequest } from "./solver.js";

/** Rejected because a newer problem took the solver. */
export class Superseded extends Error {}

export class SolverClient {
  readonly #script: string;
  readonly #wasm: Promise<ArrayBuffer>;
  #worker: Promise<Worker> | undefined;
  #waiting: { readonly id: number; readonly reject: (reason: Error) => void } | undefined;
  #last = 0;

  /** `script` is the worker's code, `wasm` HiGHS, compressed with gzip, in base64. */
  constructor(script: string, wasm: string) {
    this.#script = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    this.#wasm = decompress(wasm);
  }

  /** Solves; what is being solved is given up for it. */
  readonly allocate = async (
    choices: readonly (readonly AllocationOption[])[],
    bytes: number,
  ): Promise<Allocation | undefined> => {
    const id = ++this.#last;
    await this.#giveUp();
    const worker = await this.#started();
    if (id !== this.#last) {
      throw new Superseded();
    }
    return await new Promise((resolve, reject) => {
      this.#waiting = { id, reject };
      worker.onmessage = ({ data }: MessageEvent<SolverReply>) => {
        if (data.id !== id) {
          return;
        }
        this.#waiting = undefined;
        if (data.problem === undefined) {
          resolve(data.allocation);
        } else {
          reject(new Error(data.problem));
        }
      };
      worker.postMessage({ id, choices: choices as AllocationOption[][], bytes } satisfies SolverRequest);
    });
  };

  async #giveUp(): Promise<void> {
    const waiting = this.#waiting;
    if (waiting === undefined) {
      return;
    }
    this.#waiting = undefined;
    const worker = this.#worker;
    this.#worker = undefined;
    waiting.reject(new Superseded());
    (await worker)?.terminate();
  }

  #started(): Promise<Worker> {
    this.#worker ??= this.#start();
    return this.#worker;
  }

  async #start(): Promise<Worker> {
    const wasm = await this.#wasm;
    const worker = new Worker(this.#script);
    worker.postMessage({ wasm } satisfies SolverRequest);
    return worker;
  }
}

async function decompress(base64: string): Promise<ArrayBuffer> {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return await new Response(stream).arrayBuffer();
}
