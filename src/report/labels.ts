/** Places for the names of points, so that they do not lie on one another or outside the picture. */

export interface NamedPoint {
  readonly text: string;
  /** Pixels from the left and from the top. */
  readonly x: number;
  readonly y: number;
}

export interface LabelPlace {
  readonly anchor: "start" | "end";
  /** Offset from the point in pixels. */
  readonly dx: number;
  readonly dy: number;
}

/** Width of a character of 12 pixels, on the large side, and height of a line. */
const characterWidth = 7;
const lineHeight = 16;

/** Distance of a name from its point. */
const gap = 10;

/** Tried one after the other: beside the point, then ever farther above and below. */
const heights = [0, -1, 1, -2, 2, -3, 3, -4, 4].map((lines) => lines * lineHeight);

/** One place for each point, in their order. */
export function placeLabels(
  points: readonly NamedPoint[],
  area: { readonly width: number; readonly height: number },
): LabelPlace[] {
  const taken: { left: number; right: number; top: number; bottom: number }[] = [];
  return points.map(({ text, x, y }) => {
    const width = text.length * characterWidth;
    const anchor = x + gap + width <= area.width ? "start" : "end";
    const left = anchor === "start" ? x + gap : x - gap - width;
    const boxAt = (dy: number) => ({
      left,
      right: left + width,
      top: y + dy - lineHeight / 2,
      bottom: y + dy + lineHeight / 2,
    });
    const isFree = (dy: number) => {
      const box = boxAt(dy);
      return (
        box.top >= -lineHeight &&
        box.bottom <= area.height &&
        taken.every(
          (other) =>
            box.right < other.left ||
            box.left > other.right ||
            box.bottom <= other.top ||
            box.top >= other.bottom,
        )
      );
    };
    const dy = heights.find(isFree) ?? 0;
    taken.push(boxAt(dy));
    return { anchor, dx: anchor === "start" ? gap : -gap, dy };
  });
}
