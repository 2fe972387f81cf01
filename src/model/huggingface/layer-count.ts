/** Which of a model's layers are converted; `hidden` are those of the model itself. */
export interface LayerCount {
  readonly hidden: number;
  /** Layers that predict tokens further ahead (MTP) and become blocks after the hidden ones. */
  readonly prediction: number;
  /** Layers of this kind in the checkpoint, converted or not. */
  readonly stored: number;
  /** Whether nothing but these is converted. */
  readonly onlyPrediction: boolean;
}
