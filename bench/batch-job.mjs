// Continuous batching against llama.cpp's own decode loop, step by step in turns, in one thread of the engine.
import { defineJob } from "../dist/engine/job.js";
import { readsModel } from "../dist/engine/job-files.js";
import { Answer } from "../dist/generate/answer.js";
import { Outbox } from "../dist/generate/outbox.js";
import { Scheduler } from "../dist/generate/scheduler.js";
import { vocabularyOf } from "../dist/generate/vocabulary.js";

/** Steps of one kind before the other has its turn. */
const stepsPerTurn = 4;

/**
 * Times of a step in milliseconds, elapsed ones and the process's, all sequences getting a token: of the scheduler with everything that a
 * generator's job does (composing the batch, decoding, choosing tokens, making text, sending the pieces), and of
 * `llama_decode` over as many tokens at the same positions, called through its C function and nothing of ours.
 */
export const compareSteps = defineJob(
  import.meta.url,
  "compareSteps",
  readsModel,
  ({ path, prompts, steps, contextLength, threads }, host) => {
    const model = host.model({ path });
    const slots = prompts.length;
    const context = model.createContext({
      contextLength,
      sequences: slots,
      sharedCache: true,
      windowedCache: true,
      batchSize: 512,
      microBatchSize: 512,
      outputs: slots,
      interruptible: false,
      threads,
    });
    const outbox = new Outbox(host.emit);
    const scheduler = new Scheduler(
      context,
      { slots, contextLength, batchSize: 512, vocabularySize: model.facts.vocabularySize, canShare: true },
      {
        onStart() {},
        onPiece: ({ id }, piece) => outbox.add(id, piece),
        onFailure(_, error) {
          throw error;
        },
      },
    );
    const vocabulary = vocabularyOf(model);
    for (const [id, prompt] of prompts.entries()) {
      const request = { prompt, maxTokens: steps + 2, ignoreEnd: true, sampling: { temperature: 0 } };
      scheduler.add(new Answer(id, request, prompt, vocabulary));
    }
    const ours = () => {
      while (host.receive() !== undefined) {}
      scheduler.step();
      outbox.flush();
    };
    const loop = nativeLoop(host.library, { path, prompts, contextLength, threads });
    const times = { ours: [], loop: [] };
    const timed = (list, step) => {
      const before = process.cpuUsage();
      const begin = performance.now();
      for (let turn = 0; turn < stepsPerTurn; turn++) {
        step();
      }
      const elapsed = performance.now() - begin;
      const { user, system } = process.cpuUsage(before);
      list.push({ elapsed: elapsed / stepsPerTurn, processor: (user + system) / 1000 / stepsPerTurn });
    };
    ours();
    for (let step = 0; step < steps; step += stepsPerTurn) {
      timed(times.ours, ours);
      timed(times.loop, loop.step);
    }
    loop.close();
    context.close();
    return times;
  },
);

/** Prompts computed, and then a token of every sequence with each `step`. */
function nativeLoop({ native, memory }, { path, prompts, contextLength, threads }) {
  const sequences = prompts.length;
  const model = native.llama_model_load_from_file(path, native.llama_model_default_params());
  const context = native.llama_init_from_model(model, {
    ...native.llama_context_default_params(),
    n_ctx: contextLength * sequences,
    n_batch: 512,
    n_ubatch: 512,
    n_seq_max: sequences,
    n_threads: threads,
    n_threads_batch: threads,
    n_outputs_max: sequences,
    kv_unified: true,
  });
  const blocks = [];
  const block = (Type, length) => {
    const made = memory.allocate(Type.BYTES_PER_ELEMENT * length);
    blocks.push(made);
    return { address: made.address, values: new Type(made.buffer) };
  };
  const ids = block(Int32Array, 512);
  const positions = block(Int32Array, 512);
  const counts = block(Int32Array, 512);
  const sequence = block(Int32Array, 512);
  const pointers = block(BigUint64Array, 512);
  const wanted = block(Int8Array, 512);
  counts.values.fill(1);
  pointers.values.forEach((_, index, all) => {
    all[index] = BigInt(sequence.address + 4 * index);
  });
  const batch = {
    n_tokens: 0,
    token: ids.address,
    embd: 0,
    pos: positions.address,
    n_seq_id: counts.address,
    seq_id: pointers.address,
    logits: wanted.address,
  };
  const decode = () => {
    if (native.llama_decode(context, batch) !== 0) {
      throw new Error("llama_decode failed");
    }
    native.llama_synchronize(context);
  };
  let at = 0;
  for (const [which, prompt] of prompts.entries()) {
    for (const [position, token] of prompt.entries()) {
      ids.values[at] = token;
      positions.values[at] = position;
      sequence.values[at] = which;
      wanted.values[at] = position === prompt.length - 1 ? 1 : 0;
      at++;
    }
  }
  batch.n_tokens = at;
  decode();
  batch.n_tokens = sequences;
  let count = 0;
  return {
    step() {
      for (let which = 0; which < sequences; which++) {
        ids.values[which] = (100 + 7 * count + 13 * which) % 2000;
        positions.values[which] = prompts[which].length + count;
        sequence.values[which] = which;
        wanted.values[which] = 1;
      }
      count++;
      decode();
    },
    close() {
      native.llama_free(context);
      native.llama_model_free(model);
      for (const { free } of blocks) {
        free();
      }
      memory.forget();
    },
  };
}
