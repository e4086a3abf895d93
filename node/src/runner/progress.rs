//! Reads how far a frame is from what Blender says, in the words of each version and engine.

/// A line of Blender's render statistics.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RenderStats {
    /// 0.0 to 1.0, where the engine says it.
    pub(super) fraction: Option<f32>,
    /// The last part of the line, for example `Sample 12/64`.
    pub(super) text: String,
}

/// Reads a line of render statistics as Blender prints it: up to 4.5
/// `Fra:2 Mem:10.01M … | Scene, ViewLayer | Sample 1/16`, from 5.0
/// `00:03.579  render           | Fra: 1 | … | Sample 1/256`. `None` where the line is none.
pub(super) fn read_printed_stats(line: &str) -> Option<RenderStats> {
    let line = line.trim();
    let is_stats =
        line.starts_with("Fra:") || (line.contains(" render ") && line.contains("| Fra:"));
    if is_stats {
        read_told_stats(line)
    } else {
        None
    }
}

/// Reads render statistics as Blender tells them to its handlers, from 4.x on: the printed line up
/// to 4.5, from 5.0 `Remaining: 00:10.00 | Mem: 33M | Sample 64/256`. `None` before the first.
pub(super) fn read_told_stats(text: &str) -> Option<RenderStats> {
    let step = text.rsplit(" | ").next()?.trim();
    if step.is_empty() {
        return None;
    }
    Some(RenderStats {
        fraction: fraction_of(step),
        text: step.chars().take(200).collect(),
    })
}

/// `Sample 12/64` (Cycles), `Rendering 26 / 64 samples` (EEVEE), `Rendered 3/8 Tiles` and
/// `Rendered 3/8 Tiles, Sample 5/10` (tiles of Cycles).
fn fraction_of(text: &str) -> Option<f32> {
    let (done, whole) = if let Some(tiles) = text.strip_prefix("Rendered ") {
        ratio(tiles)?
    } else {
        let samples = text
            .strip_prefix("Sample ")
            .or_else(|| text.strip_prefix("Rendering "))?;
        ratio(samples)?
    };
    let fraction = (done / whole) as f32;
    fraction.is_finite().then(|| fraction.clamp(0.0, 1.0))
}

/// The two numbers at the start of `12/64 …` or `26 / 64 …`.
fn ratio(text: &str) -> Option<(f64, f64)> {
    let (done, rest) = text.split_once('/')?;
    let whole: String = rest
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    Some((done.trim().parse().ok()?, whole.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fraction(line: &str) -> Option<f32> {
        read_printed_stats(line)
            .expect("a line of statistics")
            .fraction
    }

    #[test]
    fn every_engine_and_version_tells_its_fraction() {
        let cycles = "Fra:3 Mem:10.90M (Peak 11.92M) | Time:00:00.06 | Remaining:00:00.01 | \
                      Mem:0.86M, Peak:0.86M | Scene, ViewLayer | Sample 2/8";
        assert_eq!(fraction(cycles), Some(0.25));
        assert_eq!(
            read_printed_stats(cycles).expect("stats").text,
            "Sample 2/8"
        );
        let eevee = "Fra:3 Mem:10.81M (Peak 11.92M) | Time:00:04.76 | Rendering 16 / 64 samples";
        assert_eq!(fraction(eevee), Some(0.25));
        let blender_5 = "00:03.579  render           | Fra: 1 | Remaining: 00:10.00 | Mem: 10M | \
                         Scene, ViewLayer | Sample 64/256";
        assert_eq!(fraction(blender_5), Some(0.25));
        let told_by_5 = "Remaining: 02:52:21.85 | Mem: 33M | Sample 64/256";
        let stats = read_told_stats(told_by_5).expect("stats");
        assert_eq!(stats.fraction, Some(0.25));
        assert_eq!(stats.text, "Sample 64/256");
        let tiles = "Fra:1 Mem:31M (Peak 31M) | Time:00:01.31 | Remaining:00:03 | Mem:8M, Peak:8M \
                     | Scene, ViewLayer | Rendered 2/8 Tiles, Sample 1/10";
        assert_eq!(fraction(tiles), Some(0.25));
    }

    #[test]
    fn a_step_without_numbers_has_a_text_and_no_fraction() {
        let line = "Fra:3 Mem:9.93M | Time:00:00.00 | Scene, ViewLayer | Updating Scene BVH";
        let stats = read_printed_stats(line).expect("stats");
        assert_eq!(stats.fraction, None);
        assert_eq!(stats.text, "Updating Scene BVH");
        assert_eq!(fraction("Fra:1 | Sample 3/0"), None);
    }

    #[test]
    fn nothing_told_yet_is_no_statistics() {
        assert_eq!(read_told_stats(""), None);
    }

    #[test]
    fn other_lines_are_no_statistics() {
        for line in [
            "",
            "Saved: '/x/frame_0001.png'",
            "Error: Sample 1/2",
            "Read blend: | x",
        ] {
            assert_eq!(read_printed_stats(line), None);
        }
    }
}
