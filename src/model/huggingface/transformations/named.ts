/** The transformations that naming tables use, by name. */
import { InternalError } from "../../../errors.js";
import type { Rows } from "../rows.js";
import type { Transformation } from "../tensor-rules.js";
import { gatheredColumns, gatheredRows } from "./gather.js";
import { stacked } from "./stack.js";
import { transposed } from "./transpose.js";
import { inRowsOf, mappedValues, sideBySide } from "./values.js";

/** One transformation after the other. */
export function chain(...steps: readonly Transformation[]): Transformation {
  return (sources, context) => {
    const result = steps.reduce<readonly [Rows, ...Rows[]]>(
      (matrices, step) => [step(matrices, context)],
      sources,
    );
    return result[0];
  };
}

/** Adds one to each weight: norms that are stored as their difference from one. */
export const plusOne: Transformation = ([source]) => mappedValues(source, (value) => Math.fround(value + 1));

/** -exp(x): the decay of a state-space layer, stored as its logarithm. */
export const minusExponential: Transformation = ([source]) =>
  mappedValues(source, (value) => -Math.exp(value));

/** Exchanges rows and columns of each matrix. */
export const transpose: Transformation = ([source], { shape, recent }) =>
  transposed(source, product(shape.slice(2)), recent);

/**
 * Part `index` of tensors that are stored one after the other in each matrix (gate and up in one): as many rows as
 * the target has, after as many for each part before.
 */
export function part(index: number): Transformation {
  return ([source], { shape }) => {
    const rows = shape[1] ?? 1;
    const period = source.rows / product(shape.slice(2));
    return rowsWithin(source, { period, offset: index * rows, rows });
  };
}

/** The rows of each head from a place on: `offset` and `period` are names of sizes. */
export function rowsOfHeads(period: string, offset: string, rows: string): Transformation {
  return ([source], { size }) =>
    rowsWithin(source, { period: size(period), offset: size(offset), rows: size(rows) });
}

/** Every second row of each matrix, from row `first` on. */
export function everySecondRow(first: 0 | 1): Transformation {
  return ([source]) => gatheredRows(source, source.rows / 2, (row) => 2 * row + first);
}

/** Every second value of a row: biases that belong to rows taken by `everySecondRow`. */
export function everySecondValue(first: 0 | 1): Transformation {
  return ([source], { shape }) => {
    const columns = shape[0] ?? 1;
    const single = inRowsOf(1, source);
    return inRowsOf(
      columns,
      gatheredRows(single, single.rows / 2, (row) => 2 * row + first),
    );
  };
}

/** Part `index` of each row: biases that belong to rows taken by `part`. */
export function partOfRow(index: number): Transformation {
  return ([source], { shape }) => {
    const columns = shape[0] ?? 1;
    const parts = inRowsOf(columns, source);
    const perRow = source.columns / columns;
    return gatheredRows(parts, parts.rows / perRow, (row) => row * perRow + index);
  };
}

/**
 * Rotary position embeddings turn the halves of a head against each other in transformers and neighbours in
 * llama.cpp's `llama`: the rows of each head are interleaved. `heads` is the name of a size.
 */
export function interleaveHalves(heads: string): Transformation {
  return ([source], { size }) => {
    const matrix = source.rows === 1 ? inRowsOf(1, source) : source;
    const perHead = matrix.rows / size(heads);
    const half = perHead / 2;
    const gathered = gatheredRows(matrix, matrix.rows, (row) => {
      const inHead = row % perHead;
      return row - inHead + (inHead % 2) * half + Math.floor(inHead / 2);
    });
    return inRowsOf(source.columns, gathered);
  };
}

/** What `tile` needs to know: names of sizes. */
export interface TiledHeads {
  /** Groups that the heads are stored in: key heads. */
  readonly groups: string;
  /** Value heads. */
  readonly heads: string;
  /** Rows (or columns) of each head. */
  readonly width: string;
  /** Rows before the heads, which stay where they are. */
  readonly after?: string;
}

/**
 * Value heads are stored by key head; llama.cpp repeats key heads as tiles: first the first value head of every key
 * head, then the second of every one.
 */
export function tileRows(names: TiledHeads): Transformation {
  return ([source], { size }) => {
    const matrix = source.rows === 1 ? inRowsOf(1, source) : source;
    const gathered = gatheredRows(matrix, matrix.rows, tiling(names, size));
    return inRowsOf(source.columns, gathered);
  };
}

/** As `tileRows`, for the columns. */
export function tileColumns(names: TiledHeads): Transformation {
  return ([source], { size }) => gatheredColumns(source, tiling(names, size));
}

function tiling(names: TiledHeads, size: (name: string) => number): (place: number) => number {
  const [groups, heads, width] = [size(names.groups), size(names.heads), size(names.width)];
  const before = names.after === undefined ? 0 : size(names.after);
  const perGroup = heads / groups;
  return (place) => {
    if (place < before) {
      return place;
    }
    const head = Math.floor((place - before) / width);
    const source = (head % groups) * perGroup + Math.floor(head / groups);
    return before + source * width + ((place - before) % width);
  };
}

/**
 * Parts of every group, all groups of the first part, then all of the second: `parts` are names of sizes with the
 * rows that each part has in a group, `chosen` those that are taken.
 */
export function regroup(parts: readonly string[], chosen: readonly number[]): Transformation {
  return ([source], { size }) => {
    const widths = parts.map(size);
    const period = widths.reduce((sum, width) => sum + width, 0);
    const groups = source.rows / period;
    const sections = chosen.map((index) => ({
      width: widths[index] ?? 0,
      offset: widths.slice(0, index).reduce((sum, width) => sum + width, 0),
    }));
    const rows = groups * sections.reduce((sum, { width }) => sum + width, 0);
    return gatheredRows(source, rows, (row) => {
      let left = row;
      for (const { width, offset } of sections) {
        if (left < groups * width) {
          return Math.floor(left / width) * period + offset + (left % width);
        }
        left -= groups * width;
      }
      throw new InternalError(`row ${row} of a regrouped matrix of ${rows} was asked for.`);
    });
  };
}

/** Two matrices side by side. */
export const besideEachOther: Transformation = ([left, right]) => {
  if (right === undefined) {
    throw new InternalError("a second matrix is missing.");
  }
  return sideBySide(left, right);
};

/** Gate and up of each expert as one matrix, gate first. */
export function gateAndUp(gate: Rows, up: Rows, experts: number): Rows {
  const rows = gate.rows / experts;
  return gatheredRows(stacked([gate, up]), 2 * gate.rows, (row) => {
    const expert = Math.floor(row / (2 * rows));
    const inExpert = row - expert * 2 * rows;
    const isUp = inExpert >= rows;
    return (isUp ? gate.rows : 0) + expert * rows + (isUp ? inExpert - rows : inExpert);
  });
}

/** Gate (0) or up (1) of such matrices. */
export function gateOrUp(both: Rows, index: 0 | 1, experts: number): Rows {
  const period = both.rows / experts;
  return rowsWithin(both, { period, offset: (index * period) / 2, rows: period / 2 });
}

function rowsWithin(
  source: Rows,
  { period, offset, rows }: { readonly period: number; readonly offset: number; readonly rows: number },
): Rows {
  if (period === rows) {
    return source;
  }
  const periods = source.rows / period;
  return gatheredRows(
    source,
    periods * rows,
    (row) => Math.floor(row / rows) * period + offset + (row % rows),
  );
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((result, size) => result * size, 1);
}

/**
 * One of the `frames` slices of a kernel over images: from [size, size, frames, ...] to [size, size, ...]. `size` is the
 * name of the number of rows in a slice.
 */
export function middle(size: string, frame: number, frames = 2): Transformation {
  return ([source], context) => {
    const rows = context.size(size);
    const sourceRow = (row: number) => (Math.floor(row / rows) * frames + frame) * rows + (row % rows);
    return gatheredRows(source, source.rows / frames, sourceRow);
  };
}

/**
 * Kernels over images whose rows have the colours of a pixel side by side become kernels with a plane for each colour:
 * from [channels * side * side, ...] to [side, side, channels, ...]. `side` and `channels` are names of sizes.
 */
export function channelsFirst(side: string, channels: string): Transformation {
  return ([source], { size }) => {
    const [width, colours] = [size(side), size(channels)];
    const plane = width ** 2;
    const sourceColumn = (column: number) => (column % plane) * colours + Math.floor(column / plane);
    return inRowsOf(width, gatheredColumns(source, sourceColumn));
  };
}
