/** Work side by side, results one after another: how slices and pieces of files are processed in bounded memory. */
import { CancelledError } from "../errors.js";

/**
 * Works on items side by side and deals with the results one after another, in the items' order. At most `limit`
 * items are begun and not yet dealt with, which bounds memory, however many there are. After an error nothing new
 * is begun, and what is under way comes to its end before the error is raised. Throws a CancelledError if
 * `signal` is aborted. With `sizeOf`, an item is begun while those under way are less than `limit` together.
 */
export async function inOrder<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  options: {
    readonly limit: number;
    readonly signal?: AbortSignal | undefined;
    readonly sizeOf?: (item: Item) => number;
  },
  begin: (item: Item) => Promise<Result>,
  finish: (item: Item, result: Result) => Promise<void> | void,
): Promise<void> {
  const underWay: { readonly item: Item; readonly result: Promise<Result> }[] = [];
  const { sizeOf = () => 1 } = options;
  let size = 0;
  const checkSignal = () => {
    if (options.signal?.aborted) {
      throw new CancelledError("stopped");
    }
  };
  const finishOldest = async () => {
    checkSignal();
    const oldest = underWay.shift();
    if (oldest) {
      size -= sizeOf(oldest.item);
      await finish(oldest.item, await oldest.result);
    }
  };
  try {
    for await (const item of items) {
      checkSignal();
      const result = begin(item);
      result.catch(() => {}); // it is awaited later; until then a failure is not "unhandled"
      underWay.push({ item, result });
      size += sizeOf(item);
      while (size >= options.limit) {
        await finishOldest();
      }
    }
    while (underWay.length > 0) {
      await finishOldest();
    }
  } finally {
    await Promise.allSettled(underWay.map(({ result }) => result));
  }
}
