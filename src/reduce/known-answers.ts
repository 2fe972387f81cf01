/** Answers of the reductions to the known-answer test. Written by `node scripts/known-answers.mjs`. */
export const knownAnswers: Readonly<Record<string, string>> = {
  score_row: "22b70c22",
  compare_rows: "59b2d70d",
  add_squares: "a3f230a0",
  gram: "9418715b",
};
