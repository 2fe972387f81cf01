/** Tensors that are encoded together, because what encoding takes of them is there only for a while. */

/** Tensors of one group are encoded one after the other. */
export interface EncodingGroup {
  /** Groups are encoded in this order. */
  readonly order: number;
  /**
   * Called before its slices are encoded, when all before are on the disk; not if all of its own are. Tensors of no
   * group may come between, after which it is called again.
   */
  begin(): Promise<void>;
}

interface Grouped {
  readonly group?: EncodingGroup | undefined;
}

/**
 * Tensors in the order in which they are encoded: that of the files, unless groups ask for another. A tensor of no group
 * stays behind those that it follows.
 */
export function inOrderOfGroups<Tensor extends Grouped>(tensors: readonly Tensor[]): readonly Tensor[] {
  let latest = -Infinity;
  const placed = tensors.map((tensor) => {
    latest = Math.max(latest, tensor.group?.order ?? -Infinity);
    return { tensor, order: tensor.group?.order ?? latest };
  });
  return placed.sort((a, b) => (a.order === b.order ? 0 : a.order - b.order)).map(({ tensor }) => tensor);
}

/**
 * Neighbours of the same group together, in order. Nothing is looked at before it is asked for, and the items of one
 * group must be taken before the next group is.
 */
export function* cutIntoGroups<Item>(
  items: Iterator<Item>,
  groupOf: (item: Item) => EncodingGroup | undefined,
): Generator<{ readonly group: EncodingGroup | undefined; readonly items: Iterable<Item> }> {
  let next = items.next();
  const itemsOf = function* (group: EncodingGroup | undefined) {
    for (; !next.done && groupOf(next.value) === group; next = items.next()) {
      yield next.value;
    }
  };
  while (!next.done) {
    const group = groupOf(next.value);
    yield { group, items: itemsOf(group) };
  }
}
