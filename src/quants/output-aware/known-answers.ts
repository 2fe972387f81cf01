/** Answers of the output-aware encoder to the known-answer test. Written by `node scripts/known-answers.mjs`. */
export const knownAnswers: Readonly<Record<string, string>> = {
  factor: "f41d76905811c5661dad7f033f161f9a",
  encode_iq1_s: "a4c1c0f45082351e",
  encode_iq1_m: "5fe0a8cf65e19040",
  encode_iq2_xxs: "b278e7f2d1dbc40c",
  encode_iq2_xs: "b822165ffac4e50f",
  encode_iq2_s: "b9f13433292171f4",
  encode_iq3_xxs: "0bb83ea73190e2cb",
  encode_iq3_s: "4e1076e8827d5bf5",
  encode_q2_k: "edae8a661a22473f",
  encode_q3_k: "e576e4708272106f",
  encode_q4_k: "8f2adaec823d20c9",
  encode_nvfp4: "b32050f6f0621490",
};
