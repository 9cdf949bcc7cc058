import { render } from "preact";
import { App } from "./app";
import "./style.css";

const data = JSON.parse(document.getElementById("record")!.textContent!);
render(<App data={data} />, document.getElementById("app")!);
