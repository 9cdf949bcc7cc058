/** What every part of the page reads: the language, the theme, the model and the way to choose a step. */
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Model } from "./record";
import { languages, type Language, type Text } from "./text";
import type { Walk } from "./walk";

export type Theme = "light" | "dark";

export interface Shared {
  text: Text;
  language: Language;
  theme: Theme;
  model: Model;
  walk: Walk;
  /** The name of the step, parameter or input that is looked into. */
  selected: string | null;
  select: (name: string | null) => void;
  /** Which moment of the walk is shown. */
  at: number;
  go: (to: number | ((at: number) => number)) => void;
}

export const Context = createContext<Shared>({ text: languages.en, language: "en", theme: "light" } as Shared);
export const useShared = (): Shared => useContext(Context);
export const useText = (): Text => useContext(Context).text;
export const useTheme = (): Theme => useContext(Context).theme;
