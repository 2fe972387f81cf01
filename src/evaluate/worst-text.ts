/** Which of several texts a model does worst on. */

interface OfOneText {
  readonly kld?: { readonly mean: number } | undefined;
}

/** The text with the largest mean divergence from the reference; undefined without a reference or with one text. */
export function worstText<Text extends OfOneText>(texts: readonly Text[]): Text | undefined {
  const compared = texts.filter(({ kld }) => kld !== undefined);
  const divergence = ({ kld }: Text) => kld?.mean ?? 0;
  return compared.length < 2
    ? undefined
    : compared.reduce((worst, text) => (divergence(text) > divergence(worst) ? text : worst));
}
