// The same function with other weights in each block: a model's residual channels, the neurons of its experts and the
// dimensions of its values in another order. Two encodings of one model differ by more than the error of the texts,
// so what a way of encoding is worth is known from several such realizations.
import { copyFile, open } from "node:fs/promises";
import { FileSource } from "../dist/bytes/source.js";
import { readGgufHeader } from "../dist/gguf/reader.js";

/** Writes a Qwen3-MoE GGUF file of BF16 and F32 tensors with everything in the order that `seed` gives; 0: as it is. */
export async function writePermuted(model, output, seed) {
  await copyFile(model, output);
  if (seed === 0) {
    return;
  }
  const source = await FileSource.open(model);
  const file = await open(output, "r+");
  try {
    const { metadata, tensors } = await readGgufHeader(source);
    const fact = (key) => Number(metadata.get(`qwen3moe.${key}`).value);
    const random = generator(seed);
    const channels = shuffled(fact("embedding_length"), random);
    const layers = Array.from({ length: fact("block_count") }, () => ({
      neurons: Array.from({ length: fact("expert_count") }, () =>
        shuffled(fact("expert_feed_forward_length"), random),
      ),
      heads: Array.from({ length: fact("attention.head_count_kv") }, () =>
        shuffled(fact("attention.value_length"), random),
      ),
    }));
    const queriesPerHead = fact("attention.head_count") / fact("attention.head_count_kv");
    for (const tensor of tensors) {
      const { heads = [], neurons = [] } = layers[Number(/^blk\.(\d+)\./.exec(tensor.name)?.[1])] ?? {};
      const bytes = Buffer.alloc(tensor.byteLength);
      await file.read(bytes, 0, bytes.length, tensor.offset);
      const values = joined(heads);
      const queries = joined(heads.flatMap((head) => Array(queriesPerHead).fill(head)));
      const order = ordersOf(tensor.name, { channels, neurons, values, queries });
      await file.write(reordered(bytes, tensor, order), 0, bytes.length, tensor.offset);
    }
  } finally {
    await file.close();
    await source.close();
  }
}

/** What a tensor's columns and rows are; the rows of experts have an order for each expert. */
function ordersOf(name, { channels, neurons, values, queries }) {
  switch (/(?:^|\.)([a-z_]+)\.weight$/.exec(name)[1]) {
    case "token_embd":
    case "output":
    case "output_norm":
    case "attn_norm":
    case "ffn_norm":
    case "attn_q":
    case "attn_k":
    case "ffn_gate_inp":
      return { columns: [channels] };
    case "attn_v":
      return { columns: [channels], rows: [values] };
    case "attn_output":
      return { columns: [queries], rows: [channels] };
    case "ffn_gate_exps":
    case "ffn_up_exps":
      return { columns: [channels], rows: neurons };
    case "ffn_down_exps":
      return { columns: neurons, rows: [channels] };
    case "attn_q_norm":
    case "attn_k_norm":
      return {};
    default:
      throw new Error(`no order is known for ${name}`);
  }
}

function reordered(bytes, { shape, type }, { columns, rows }) {
  const [width = 1, height = 1, matrices = 1] = shape;
  const elements = type === "F32" ? new Uint32Array(bytes.buffer) : new Uint16Array(bytes.buffer);
  const moved = elements.slice();
  for (let matrix = 0; matrix < matrices; matrix++) {
    const columnOrder = columns?.[matrix % columns.length];
    const rowOrder = rows?.[matrix % rows.length];
    for (let row = 0; row < height; row++) {
      const from = (matrix * height + (rowOrder?.[row] ?? row)) * width;
      const to = (matrix * height + row) * width;
      for (let column = 0; column < width; column++) {
        moved[to + column] = elements[from + (columnOrder?.[column] ?? column)];
      }
    }
  }
  return Buffer.from(moved.buffer, moved.byteOffset, moved.byteLength);
}

/** Orders of equal length, one after the other. */
function joined(orders) {
  return orders.flatMap((order, i) => order.map((place) => place + i * order.length));
}

function shuffled(count, random) {
  const order = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Mulberry32, a small generator of 32 bits of state (T. Ettinger, public domain). */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
