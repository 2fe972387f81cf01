/**
 * Chunks in groups of fixed size: the unit in which statistics are summed and in which other machines work. A group's
 * sums depend on nothing outside it, and groups are added in the order of the text, so that a result does not depend on
 * who computed what.
 */

/** Chunks [first, end). */
export interface ChunkGroup {
  readonly first: number;
  readonly end: number;
}

/** Chunks that a group has at least, if the text has so many more. */
const fewestChunks = 16;

/** Chunks in a group: whole batches of so many `sequences` that are decoded together. */
export function chunksPerGroup(sequences: number): number {
  return sequences * Math.ceil(fewestChunks / sequences);
}

/** Whether a group of a text of so many chunks ends before a chunk, so that what is summed up to it is whole. */
export function endsGroup(chunk: number, chunks: number, sequences: number): boolean {
  return chunk % chunksPerGroup(sequences) === 0 || chunk === chunks;
}

/** The groups of a text, in order, from the one that begins at chunk `from`. */
export function chunkGroups(chunks: number, size: number, from = 0): ChunkGroup[] {
  const groups: ChunkGroup[] = [];
  for (let first = from; first < chunks; first += size) {
    groups.push({ first, end: Math.min(first + size, chunks) });
  }
  return groups;
}
