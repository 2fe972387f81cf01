// llama.cpp's own decode loop over a batch of sequences, through its C functions and nothing of ours: what
// continuous batching cannot be faster than.
import { defineJob } from "../dist/engine/job.js";

/**
 * Computes prompts and then a token of every sequence at a time. Returns the seconds from the first token on, and
 * those of the thread's processor time.
 */
export const decodeBatches = defineJob(
  import.meta.url,
  "decodeBatches",
  ({ path, prompts, tokens, contextLength, threads }, host) => {
    const { native, memory } = host.library;
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
      if (native.llama_decode(context, batch) !== 0) throw new Error("llama_decode failed");
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
    const begin = performance.now();
    const cpu = process.cpuUsage();
    batch.n_tokens = sequences;
    for (let step = 0; step < tokens - 1; step++) {
      for (let which = 0; which < sequences; which++) {
        ids.values[which] = (100 + 7 * step + 13 * which) % 2000;
        positions.values[which] = prompts[which].length + step;
        sequence.values[which] = which;
        wanted.values[which] = 1;
      }
      decode();
    }
    const seconds = (performance.now() - begin) / 1000;
    const { user, system } = process.cpuUsage(cpu);
    native.llama_free(context);
    native.llama_model_free(model);
    for (const { free } of blocks) free();
    memory.forget();
    return { seconds, processorSeconds: (user + system) / 1e6 };
  },
);
