//! Tests of the pixels of windows.

use super::*;

fn upright(left: f64, top: f64, scale: f64) -> Window {
    Window { origin: [left, top], right: [scale, 0.0] }
}

fn picture(height: usize, width: usize, channels: usize) -> Picture {
    let pixels = (0..height * width * channels).map(|it| (it * 37 % 251) as u8).collect();
    Picture { pixels, shape: [height, width, channels] }
}

#[test]
fn a_window_of_the_whole_picture_is_the_picture() {
    for channels in [1, 3] {
        let picture = picture(48, 48, channels);
        assert_eq!(image(&picture, &upright(0.0, 0.0, 1.0), 48), picture);
    }
}

#[test]
fn a_quarter_turn_moves_pixels_and_changes_none() {
    let picture = picture(5, 5, 1);
    let turned = image(&picture, &Window { origin: [5.0, 0.0], right: [0.0, 1.0] }, 5);
    for (y, x) in (0..5).flat_map(|y| (0..5).map(move |x| (y, x))) {
        // To the right in the image is down in the picture, and down is to the left.
        assert_eq!(turned.pixels[y * 5 + x], picture.pixels[x * 5 + (4 - y)]);
    }
}

#[test]
fn between_pixels_it_is_bilinear_and_halves_are_rounded_up() {
    let picture = Picture { pixels: vec![0, 1, 4, 8], shape: [2, 2, 1] };
    let at = |x: f64, y: f64| image(&picture, &upright(x - 0.5, y - 0.5, 1.0), 1).pixels[0];
    assert_eq!([at(1.0, 0.5), at(0.5, 1.0), at(1.0, 1.0)], [1, 2, 3]);
    assert_eq!([at(-7.0, -7.0), at(9.0, 0.0), at(9.0, 9.0)], [0, 1, 8]);
}

#[test]
fn shrinking_takes_every_pixel_into_account() {
    // Stripes of one pixel, which single samples would turn into broad ones.
    let stripes: Vec<u8> = (0..96 * 96).map(|it| if it % 2 == 0 { 0 } else { 200 }).collect();
    let stripes = Picture { pixels: stripes, shape: [96, 96, 1] };
    for scale in [2.0, 1.9, 1.5] {
        let shrunk = image(&stripes, &upright(0.0, 0.0, scale), 48);
        let [least, most] = [shrunk.pixels.iter().min(), shrunk.pixels.iter().max()];
        assert!(*most.unwrap() - *least.unwrap() <= 100, "{scale}: {least:?} {most:?}");
    }
    assert_eq!(image(&stripes, &upright(0.0, 0.0, 2.0), 48).pixels, [100; 48 * 48]);
    let checks = picture(1000, 1000, 3);
    let mean = checks.pixels.iter().map(|it| f64::from(*it)).sum::<f64>() / 3e6;
    let one = image(&checks, &upright(0.0, 0.0, 1000.0), 1);
    assert!(one.pixels.iter().all(|it| (f64::from(*it) - mean).abs() < 3.0), "{one:?} {mean}");
}
