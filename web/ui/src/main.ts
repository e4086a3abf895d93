import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";
import { store } from "./lib/store.svelte";

const target = document.getElementById("app");
if (target) mount(App, { target });
store.start();
