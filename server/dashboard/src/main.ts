import '@fontsource-variable/noto-sans-arabic/wght.css';
import 'maplibre-gl/dist/maplibre-gl.css';
import './styles/base.css';

import { mount } from 'svelte';

import App from './App.svelte';

mount(App, { target: document.getElementById('app')! });
