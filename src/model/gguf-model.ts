/** A GGUF file, or a set of them, as a model. */
import { FileSource } from "../bytes/source.js";
import { InternalError } from "../errors.js";
import type { GgufTensor } from "../gguf/reader.js";
import { type OpenShard, type OpenSource, openShards, withoutSplitKeys } from "../gguf/splits.js";
import { type ModelSource, rowCount, type SourceTensor } from "./source.js";

/**
 * Opens a GGUF file or the first file of a split set. The metadata is the first file's without its split keys;
 * the tensors are those of all files, in order. Errors: see `readGgufHeader` and `openShards`.
 */
export async function openGguf(path: string, open: OpenSource = FileSource.open): Promise<ModelSource> {
  const shards = await openShards(path, open);
  const [first] = shards;
  if (first === undefined) {
    throw new InternalError(`${path}: opened no file.`);
  }
  return {
    name: path,
    metadata: withoutSplitKeys(first.header.metadata),
    tensors: shards.flatMap((shard, file) =>
      shard.header.tensors.map((tensor) => sourceTensor(shard, tensor, file)),
    ),
    byteLength: shards.reduce((total, shard) => total + shard.source.byteLength, 0),
    files: shards.map((shard) => shard.source),
    async close() {
      await Promise.all(shards.map((shard) => shard.source.close()));
    },
  };
}

function sourceTensor({ source }: OpenShard, tensor: GgufTensor, file: number): SourceTensor {
  const { name, shape, type, offset, byteLength } = tensor;
  const rows = rowCount(shape);
  const bytesPerRow = byteLength / rows;
  return {
    name,
    shape,
    type,
    file,
    async readRows(first, count) {
      if (
        !Number.isInteger(first) ||
        !Number.isInteger(count) ||
        first < 0 ||
        count < 0 ||
        first + count > rows
      ) {
        throw new InternalError(
          `rows ${first} to ${first + count} of tensor "${name}" were asked for; it has ${rows}.`,
        );
      }
      return await source.read(offset + first * bytesPerRow, count * bytesPerRow);
    },
  };
}
