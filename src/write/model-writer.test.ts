import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { deserialize, serialize } from "node:v8";
import { openGguf } from "../model/gguf-model.js";
import { newKernels } from "../quants/kernels/load.js";
import type { MomentSums } from "../quants/output-aware/refine.js";
import type { SharedInput } from "../quants/shared-input.js";
import { sharedInput } from "../quants/shared-input.js";
import { type StoredSlice, type Survey, survey } from "../quants/survey.js";
import { type Slice, type Transcoded, transcode } from "../quants/transcode.js";
import type { Transcoder } from "../quants/transcoder.js";
import { Workspace } from "../quants/workspace.js";
import { writeGgufFile } from "../testing/gguf-file.js";
import { randomMoments } from "../testing/moments.js";
import { fill, uniform } from "../testing/random.js";
import { temporaryFolder } from "../testing/temporary.js";
import { ModelWriter, type WriteRequest } from "./model-writer.js";
import { writeModel } from "./write-model.js";

/** As another machine would be: it gets bytes, each shared input once, and answers in any order. */
class Elsewhere implements Transcoder {
  readonly slicesInFlight = 7;
  readonly inputsSent: string[] = [];
  readonly #inputs = new Map<string, Buffer>();
  readonly #workspace = new Workspace(newKernels());
  readonly #delay = uniform(5);

  async transcode(slice: Slice): Promise<Transcoded> {
    const { importance, moments } = slice;
    const sent = serialize({
      ...slice,
      importance: importance && this.#send(importance),
      moments: moments && "sums" in moments && { ...moments, sums: this.#send(moments.sums) },
    });
    await pause(5 * this.#delay());
    return deserialize(this.#perform(sent)) as Transcoded;
  }

  async transcodeTogether(slices: readonly Slice[]): Promise<Transcoded[]> {
    return await Promise.all(slices.map((slice) => this.transcode(slice)));
  }

  async survey(slice: StoredSlice): Promise<Survey> {
    return survey(slice, this.#workspace);
  }

  #perform(sent: Buffer): Buffer {
    const { importance, moments, ...slice } = deserialize(sent) as Omit<Slice, "importance" | "moments"> & {
      importance?: string;
      moments?: Omit<MomentSums, "sums"> & { sums: string };
    };
    const received = {
      ...slice,
      importance: importance === undefined ? undefined : this.#receive(importance),
      moments: moments && { ...moments, sums: this.#receive(moments.sums) },
    };
    return serialize(transcode(received, this.#workspace));
  }

  #send({ sha256, values }: SharedInput): string {
    if (!this.#inputs.has(sha256)) {
      this.#inputs.set(sha256, serialize(values.slice()));
      this.inputsSent.push(sha256);
    }
    return sha256;
  }

  #receive(sha256: string): SharedInput {
    return { sha256, values: deserialize(this.#inputs.get(sha256)!) as Float32Array };
  }
}

test("slices may be encoded elsewhere: the same bytes, and what slices share travels once", async (t) => {
  const folder = await temporaryFolder(t);
  const source = await openGguf(
    await writeGgufFile(join(folder, "source.gguf"), {
      metadata: { "general.architecture": "llama" },
      tensors: [
        { name: "blk.0.ffn_down_exps.weight", shape: [256, 5000, 3], type: "F32" },
        { name: "blk.0.ffn_norm.weight", shape: [256], type: "F32" },
      ],
      seed: 1,
    }),
  );
  t.after(() => source.close());
  const importance = [1, 2, 3].map((seed) => fill(256, uniform(seed)));
  const moments = [1, 2].map((seed) => sharedInput(randomMoments(256, 300, 0.1 * seed)));
  const request = (output: string): WriteRequest => ({
    source,
    output: join(folder, output),
    tensors: source.tensors.map((tensor, index) => ({
      source: tensor,
      type: index === 0 ? "Q2_K" : "F32",
      importance: index === 0 ? () => importance : undefined,
      moments:
        index === 0
          ? async (expert) => {
              const sums = moments[expert];
              return sums && { name: `expert ${expert}`, sums, vectors: 300 };
            }
          : undefined,
    })),
    metadata: () => source.metadata,
    step: "quantize",
    inputs: {},
    effort: "fast",
  });
  const here = await writeModel({ ...request("here.gguf"), threads: 2 });

  const elsewhere = new Elsewhere();
  const writer = await ModelWriter.begin(request("elsewhere.gguf"), elsewhere);
  await writer.write();
  const written = await writer.finish();
  assert.equal(written.sha256, here.sha256);
  assert.deepEqual(written.relativeErrors, here.relativeErrors);
  assert.deepEqual(await readFile(join(folder, "elsewhere.gguf")), await readFile(join(folder, "here.gguf")));
  assert.equal(elsewhere.inputsSent.length, 5, "three rows of importance and two matrices of moments");
});
