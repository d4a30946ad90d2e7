//! Times of the hot functions: `cargo bench --package barid-benchmark`.

use std::hint::black_box;

use benchmark::hot::{FUNCTIONS, Hot};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn hot(criterion: &mut Criterion) {
    let input = Hot::new();
    let mut group = criterion.benchmark_group("hot");
    for (name, call, records) in FUNCTIONS {
        group.throughput(Throughput::Elements(records.into()));
        group.bench_function(name, |bencher| bencher.iter(|| call(black_box(&input))));
    }
    group.finish();
}

criterion_group!(benches, hot);
criterion_main!(benches);
