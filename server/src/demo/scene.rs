//! Pictures for the demo's events: drawn, not taken, and different each time. Sky, sun, dunes, and
//! something that stands there.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageError, Rgb, RgbImage};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 720;

/// Draws a scene as a JPEG of some tens of kilobytes.
pub(super) fn draw(seed: u64) -> Result<Vec<u8>, ImageError> {
    let scene = Scene::new(seed);
    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        Rgb(scene
            .at(f64::from(x) / f64::from(WIDTH), f64::from(y) / f64::from(HEIGHT))
            .map(|level| level as u8))
    });
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 82).encode(&picture, WIDTH, HEIGHT, ExtendedColorType::Rgb8)?;
    Ok(bytes)
}

/// Where things are, from 0 to 1 across and down.
struct Scene {
    sun: (f64, f64),
    phases: [f64; 3],
    /// A box on two wheels.
    lorry: (f64, f64),
    has_lorry: bool,
    is_dusk: bool,
}

impl Scene {
    fn new(seed: u64) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        Self {
            sun: (0.15 + 0.7 * random(), 0.14 + 0.14 * random()),
            phases: [random(), random(), random()].map(|share| share * 6.3),
            lorry: (0.2 + 0.5 * random(), 0.66 + 0.12 * random()),
            has_lorry: random() < 0.6,
            is_dusk: random() < 0.4,
        }
    }

    fn at(&self, x: f64, y: f64) -> [f64; 3] {
        if self.has_lorry
            && let Some(colour) = self.lorry_at(x - self.lorry.0, y - self.lorry.1)
        {
            return colour;
        }
        let dunes = [
            (0.52, 5.0, [214.0, 170.0, 112.0]),
            (0.62, 3.4, [196.0, 146.0, 88.0]),
            (0.8, 2.1, [172.0, 122.0, 70.0]),
        ];
        for ((height, waves, colour), phase) in dunes.into_iter().zip(self.phases).rev() {
            let ridge = height + 0.045 * (x * waves + phase).sin() + 0.012 * (x * waves * 3.7 + phase).sin();
            if y > ridge {
                let ripple = 6.0 * ((y - ridge) * 160.0 + 7.0 * (x * 9.0 + phase).sin()).sin();
                let shade = 1.0 - 0.35 * (y - ridge);
                return self.lit(colour.map(|level| (level + ripple) * shade));
            }
        }
        let (across, down) = ((x - self.sun.0) * 4.0 / 3.0, y - self.sun.1);
        let distance = across.hypot(down);
        if distance < 0.045 {
            return [255.0, 244.0, 214.0];
        }
        let glow = 70.0 * (-distance * 7.0).exp();
        self.lit([112.0 + 110.0 * y + glow, 160.0 + 60.0 * y + glow * 0.8, 210.0 - 25.0 * y])
    }

    fn lit(&self, colour: [f64; 3]) -> [f64; 3] {
        let light = if self.is_dusk { [0.92, 0.68, 0.62] } else { [1.0; 3] };
        [0, 1, 2].map(|band| (colour[band] * light[band]).clamp(0.0, 255.0))
    }

    fn lorry_at(&self, x: f64, y: f64) -> Option<[f64; 3]> {
        let wheel = |at: f64| ((x - at) * 4.0 / 3.0).hypot(y) < 0.026;
        if wheel(0.035) || wheel(0.15) || wheel(0.2) {
            return Some([36.0, 32.0, 30.0]);
        }
        let is_box = (0.07..0.24).contains(&x) && (-0.14..-0.01).contains(&y);
        let is_cab = (0.0..0.07).contains(&x) && (-0.09..-0.01).contains(&y);
        let is_window = (0.008..0.04).contains(&x) && (-0.08..-0.05).contains(&y);
        if is_window {
            return Some([150.0, 176.0, 190.0]);
        }
        if is_box {
            Some(self.lit([66.0, 92.0, 78.0]))
        } else {
            is_cab.then(|| self.lit([150.0, 62.0, 48.0]))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    #[test]
    fn a_scene_is_a_picture_of_some_tens_of_kilobytes_and_no_two_are_alike() {
        let [one, two] = [1, 2].map(|seed| super::draw(seed).unwrap());
        assert!(one != two);
        for bytes in [one, two] {
            assert!((20_000..300_000).contains(&bytes.len()), "{}", bytes.len());
            assert!(bytes.starts_with(b"\xff\xd8\xff"));
        }
    }
}
