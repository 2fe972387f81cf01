/** Calls for functions that tasks name without tests of their own: textbook functions with one usual meaning. */

/** A call of the function asked for, and what it must return. */
export interface FunctionTest {
  readonly args: readonly unknown[];
  readonly result: unknown;
}

function tests(...cases: readonly (readonly [args: readonly unknown[], result: unknown])[]): FunctionTest[] {
  return cases.map(([args, result]) => ({ args, result }));
}

const intervals = tests(
  [[[]], []],
  [[[[1, 3]]], [[1, 3]]],
  [
    [
      [
        [1, 3],
        [2, 6],
        [8, 10],
        [15, 18],
      ],
    ],
    [
      [1, 6],
      [8, 10],
      [15, 18],
    ],
  ],
  [
    [
      [
        [1, 4],
        [4, 5],
      ],
    ],
    [[1, 5]],
  ],
  [
    [
      [
        [8, 10],
        [1, 3],
        [2, 6],
      ],
    ],
    [
      [1, 6],
      [8, 10],
    ],
  ],
  [
    [
      [
        [1, 10],
        [2, 3],
        [4, 5],
      ],
    ],
    [[1, 10]],
  ],
  [
    [
      [
        [1, 2],
        [1, 2],
        [1, 2],
      ],
    ],
    [[1, 2]],
  ],
  [
    [
      [
        [5, 6],
        [3, 4],
        [1, 2],
      ],
    ],
    [
      [1, 2],
      [3, 4],
      [5, 6],
    ],
  ],
  [
    [
      [
        [-5, -1],
        [-2, 3],
        [7, 7],
      ],
    ],
    [
      [-5, 3],
      [7, 7],
    ],
  ],
  [
    [
      [
        [0, 0],
        [0, 5],
        [4, 9],
        [20, 30],
        [25, 26],
      ],
    ],
    [
      [0, 9],
      [20, 30],
    ],
  ],
);

export const knownFunctions: ReadonlyMap<string, readonly FunctionTest[]> = new Map(
  Object.entries({
    merge_intervals: intervals,
    factorial: tests([[0], 1], [[1], 1], [[5], 120], [[10], 3_628_800], [[15], 1_307_674_368_000]),
    fibonacci: tests([[0], 0], [[1], 1], [[2], 1], [[10], 55], [[30], 832_040]),
    gcd: tests([[12, 18], 6], [[18, 12], 6], [[7, 5], 1], [[100, 10], 10], [[9, 9], 9], [[1071, 462], 21]),
    is_palindrome: tests(
      [["level"], true],
      [["hello"], false],
      [["a"], true],
      [[""], true],
      [["Abba"], true],
      [["abca"], false],
    ),
    is_balanced: tests(
      [[""], true],
      [["()[]{}"], true],
      [["([{}])"], true],
      [["(]"], false],
      [["([)]"], false],
      [["((("], false],
      [[")"], false],
      [["a(b)c"], true],
    ),
    binary_search: tests(
      [[[1, 3, 5, 7, 9], 7], 3],
      [[[1, 3, 5, 7, 9], 1], 0],
      [[[1, 3, 5, 7, 9], 9], 4],
      [[[1, 3, 5, 7, 9], 4], -1],
      [[[], 1], -1],
      [[[2], 2], 0],
    ),
    count_words: tests(
      [["the cat and the dog"], { the: 2, cat: 1, and: 1, dog: 1 }],
      [[""], {}],
      [["one"], { one: 1 }],
      [["a b a b a"], { a: 3, b: 2 }],
    ),
    two_sum: tests(
      [
        [[2, 7, 11, 15], 9],
        [0, 1],
      ],
      [
        [[3, 2, 4], 6],
        [1, 2],
      ],
      [
        [[3, 3], 6],
        [0, 1],
      ],
      [
        [[1, 5, 9, 20], 29],
        [2, 3],
      ],
    ),
    unique: tests(
      [[[1, 2, 1, 3, 2]], [1, 2, 3]],
      [[[]], []],
      [[[5, 5, 5]], [5]],
      [[["b", "a", "b"]], ["b", "a"]],
    ),
    transpose: tests(
      [
        [
          [
            [1, 2, 3],
            [4, 5, 6],
          ],
        ],
        [
          [1, 4],
          [2, 5],
          [3, 6],
        ],
      ],
      [[[[1]]], [[1]]],
      [[[[1], [2]]], [[1, 2]]],
      [
        [
          [
            [1, 2],
            [3, 4],
          ],
        ],
        [
          [1, 3],
          [2, 4],
        ],
      ],
    ),
    flatten: tests(
      [[[1, [2, [3, 4]], 5]], [1, 2, 3, 4, 5]],
      [[[]], []],
      [[[[[1]]]], [1]],
      [[[1, 2]], [1, 2]],
      [[[[], [1, []]]], [1]],
    ),
    insertion_sort: tests(
      [[[3, 1, 2]], [1, 2, 3]],
      [[[]], []],
      [[[1]], [1]],
      [[[5, -1, 5, 0]], [-1, 0, 5, 5]],
      [[[1, 2, 3]], [1, 2, 3]],
      [[[4, 3, 2, 1]], [1, 2, 3, 4]],
    ),
  }),
);
