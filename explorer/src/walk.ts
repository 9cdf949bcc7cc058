/** The walk through both passes: one moment a step forward, then one a step backward. */
import type { Model, Step } from "./record";

export interface Moment {
  backward: boolean;
  step: Step;
}

export class Walk {
  readonly moments: Moment[];
  private readonly forwardAt = new Map<string, number>();
  private readonly backwardAt = new Map<string, number>();

  constructor(readonly model: Model) {
    const { steps, loss_name } = model.data;
    const back = steps.filter((step) => step.cotangent !== null && step.name !== loss_name).reverse();
    this.moments = [...steps.map((step) => ({ backward: false, step })), ...back.map((step) => ({ backward: true, step }))];
    this.moments.forEach((moment, i) => (moment.backward ? this.backwardAt : this.forwardAt).set(moment.step.name, i));
  }

  /** Where the backward pass begins. */
  get turn(): number {
    return this.model.data.steps.length;
  }

  /** The moment at which a value is computed; what is given is there from the start. */
  forward(step: Step): number {
    return step.kind === "step" ? (this.forwardAt.get(step.name) ?? 0) : -1;
  }

  /** The moment at which a cotangent is known: a parameter's with that of the first step that reads it. */
  backward(step: Step): number {
    if (step.kind === "input" || step.cotangent === null) return Infinity;
    if (step.name === this.model.data.loss_name) return this.turn - 1;
    if (step.kind === "step") return this.backwardAt.get(step.name) ?? Infinity;
    const reader = step.readers[0];
    return reader === undefined ? Infinity : this.backward(this.model.step(reader));
  }

  /** The moment to go to when a step is looked up by name. */
  find(name: string, backward: boolean): number | undefined {
    return (backward ? this.backwardAt : this.forwardAt).get(name);
  }

  /** The place in the memory lane: a cotangent is made by the pullback of the first of its readers. */
  memoryAt(at: number): number {
    const moment = this.moments[at];
    const lane = this.model.data.memory.moments;
    if (!moment) return -1;
    const name = moment.backward ? (moment.step.readers[0] ?? "") : moment.step.name;
    return lane.findIndex((m) => m.backward === moment.backward && m.step === name);
  }

  /** The moment that a place in the memory lane belongs to. */
  fromMemory(index: number): number {
    return this.moments.findIndex((_, i) => this.memoryAt(i) === index);
  }
}
