//! What this machine charges for the primitives that every record is made of: budgets are set on one machine and
//! measured on another. An indirect call is the one that differs most: some virtual machines predict none of them.

use std::hint::black_box;

use cpu_time::ThreadTime;

/// Calls or allocations that are measured.
const TIMES: u64 = 1_000_000;

/// A primitive, what it costs here, and what it costs on the machine that the budgets were set on.
pub(crate) struct Primitive {
    pub(crate) name: &'static str,
    pub(crate) ns: f64,
    pub(crate) reference_ns: f64,
}

trait Link {
    fn pull(&mut self, number: u64) -> u64;
}

/// Links of two kinds, so that the calls have different targets.
struct Add(u64, Option<Box<dyn Link>>);
struct Mix(u64, Option<Box<dyn Link>>);

impl Link for Add {
    #[inline(never)]
    fn pull(&mut self, number: u64) -> u64 {
        self.0 = self.0.wrapping_add(number);
        self.1.as_mut().map_or(number, |next| next.pull(number.wrapping_add(1)))
    }
}

impl Link for Mix {
    #[inline(never)]
    fn pull(&mut self, number: u64) -> u64 {
        self.0 ^= number;
        self.1.as_mut().map_or(number, |next| next.pull(number.wrapping_mul(3)))
    }
}

/// Measures all of them.
pub(crate) fn measure() -> Vec<Primitive> {
    let chain = |below: Box<dyn Link>, number: u64| -> Box<dyn Link> {
        if number.is_multiple_of(2) { Box::new(Mix(0, Some(below))) } else { Box::new(Add(0, Some(below))) }
    };
    let mut links = (0..5).fold(Box::new(Add(0, None)) as Box<dyn Link>, chain);
    vec![
        Primitive {
            name: "six indirect calls",
            ns: best(|| {
                black_box((0..TIMES).fold(0_u64, |sum, number| sum.wrapping_add(links.pull(number))));
            }),
            reference_ns: 3.7,
        },
        Primitive {
            name: "malloc and free of 128 bytes",
            ns: best(|| (0..TIMES).for_each(|_| drop(black_box(Vec::<u8>::with_capacity(128))))),
            reference_ns: 21.7,
        },
    ]
}

fn best(mut run: impl FnMut()) -> f64 {
    let rounds = (0..5).map(|_| {
        let begin = ThreadTime::now();
        run();
        begin.elapsed().as_secs_f64() * 1e9 / 1e6
    });
    rounds.fold(f64::INFINITY, f64::min)
}

/// Whether the system gives huge pages: `always`, `madvise` (to who asks, as Headwater does), `never`.
pub(crate) fn huge_pages() -> String {
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let chosen = setting.split(['[', ']']).nth(1);
    chosen.unwrap_or("unknown").to_owned()
}
