/** Answers of the output-aware encoder to the known-answer test. Written by `node scripts/known-answers.mjs`. */
export const knownAnswers: Readonly<Record<string, string>> = {
  factor: "18bedf535811c5661dad7f03",
  encode_iq1_s: "398408c4eca67110",
  encode_iq1_m: "ca665af806e07a5d",
  encode_iq2_xxs: "37f8bf311b2aa0cf",
  encode_iq2_xs: "4095e0b99ed01cef",
  encode_iq2_s: "b4b1983cc31bf6db",
  encode_iq3_xxs: "2b40129f0f0501f7",
  encode_iq3_s: "13ae37c0d94129a6",
  encode_q2_k: "a6dcec0b8e6b9cc6",
  encode_q3_k: "c488383e2b920def",
  encode_q4_k: "c835392dc7bdbeee",
  encode_nvfp4: "a12c500405274d1d",
};
