/** Answers of the output-aware encoder to the known-answer test. Written by `node scripts/known-answers.mjs`. */
export const knownAnswers: Readonly<Record<string, string>> = {
  factor: "18bedf535811c5661dad7f03",
  encode_iq1_s: "3436ba16a72d2095",
  encode_iq1_m: "18914618af7aa13d",
  encode_iq2_xxs: "dd7475aaa1af4d06",
  encode_iq2_xs: "07602beacc381075",
  encode_iq2_s: "6ed9f837cd1231df",
  encode_iq3_xxs: "f1f157b510f080ad",
  encode_iq3_s: "13ae37c0d94129a6",
  encode_q2_k: "c61c1a30008858f1",
  encode_q3_k: "b5a915a652c64c0a",
  encode_q4_k: "86bec1d34aec63d7",
  encode_nvfp4: "2389cbdab3902098",
};
