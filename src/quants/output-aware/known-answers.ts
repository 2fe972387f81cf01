/** Answers of the output-aware encoder to the known-answer test. Written by `node scripts/known-answers.mjs`. */
export const knownAnswers: Readonly<Record<string, string>> = {
  factor: "341b3b3b",
  encode_iq1_s: "130db688d28d2e23",
  encode_iq1_m: "e5fa84d11dc95a8a",
  encode_iq2_xxs: "087ccde0fd202061",
  encode_iq2_xs: "60979883f8da8824",
  encode_iq2_s: "72b56717687161b8",
  encode_iq3_xxs: "f45cd4bb5c7a9af6",
  encode_iq3_s: "6374810d41c461a3",
  encode_q2_k: "a46be5d1ba2f8715",
  encode_q3_k: "9cfab2da99038e25",
  encode_q4_k: "95dd87de1b864f5e",
  encode_nvfp4: "b470ae6b6616f81a",
};
