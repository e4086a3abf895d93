use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::node::*;

async fn assert_still_waits(client: &Client, job: &str) {
    let (_, seen) = client.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(seen["state"], "awaiting_scene");
    assert_eq!(seen["scene"], Value::Null);
    let (_, files) = client.get(&format!("/api/jobs/{job}/files")).await;
    assert_eq!(files["files"], json!([]));
}

#[tokio::test]
async fn a_scene_starts_its_job_with_the_scenes_own_frames() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"video": true})).await;
    let bytes = scene(3, 6, 1000);
    let (status, file) = client.upload(&job, bytes.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{file}");
    assert_eq!(file["kind"], "scene");
    assert_eq!(file["name"], "Küche.blend");
    assert_eq!(file["size_bytes"], bytes.len());
    assert_eq!(file["holders"], json!([1]));
    assert_eq!(file["content"].as_str().unwrap().len(), 64);

    let (_, seen) = client.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(seen["state"], "active");
    assert_eq!(seen["name"], "Küche", "after its scene file");
    assert_eq!(seen["frames"], "3-6");
    assert_eq!(seen["scene"], file);
    let frames: Vec<_> = seen["tasks"].as_array().unwrap().iter().collect();
    assert_eq!(frames.len(), 5);
    assert_eq!(
        (&frames[0]["kind"], &frames[0]["frame"]),
        (&json!("frame"), &json!(3))
    );
    assert_eq!(frames[4]["kind"], "encode");
    assert_eq!(frames[4]["state"], "waiting");
    assert_eq!(seen["counts"]["pending"], 4);
    assert_eq!(seen["counts"]["waiting"], 1);
    assert_eq!(seen["frame_counts"]["waiting"], 0);
    assert_eq!(seen["waiting_for"], "a runner with Blender");

    let (status, body) = client.upload(&job, bytes).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem(&body), "scene-is-there");
    node.stop().await;
}

#[tokio::test]
async fn what_else_a_form_sends_before_the_file_is_passed_over_up_to_a_bound() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let path = format!("/api/jobs/{job}/upload");
    let send = async |before: Form| {
        let part = Part::bytes(scene(1, 2, 10)).file_name("a%22b.blend");
        let form = before.part("file", part);
        answer(client.request(Method::POST, &path).multipart(form)).await
    };
    let (status, body) = send(Form::new().text("note", "x".repeat(100_000))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(problem(&body), "bad-upload");
    let many = (0..20).fold(Form::new(), |form, number| {
        form.text(number.to_string(), "")
    });
    let (status, body) = send(many).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    let (status, body) = answer(
        client
            .request(Method::POST, &path)
            .multipart(Form::new().text("note", "no file")),
    )
    .await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::BAD_REQUEST, "bad-upload")
    );

    let (status, file) = send(Form::new().text("name", "shot").text("note", "hello")).await;
    assert_eq!(status, StatusCode::CREATED, "{file}");
    node.stop().await;
}

#[tokio::test]
async fn frames_that_were_asked_for_win_over_the_scenes() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a", "frames": "7,9"})).await;
    // A range that could not be rendered does not matter then.
    let (status, file) = client.upload(&job, scene(9, 1, 10)).await;
    assert_eq!(status, StatusCode::CREATED, "{file}");
    let (_, seen) = client.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(seen["frames"], "7,9");
    assert_eq!(seen["tasks"].as_array().unwrap().len(), 2);

    let job = client.new_job(&json!({"name": "b"})).await;
    let (status, body) = client.upload(&job, scene(9, 1, 10)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem(&body), "bad-frames");
    assert_still_waits(&client, &job).await;
    node.stop().await;
}

#[tokio::test]
async fn a_refused_file_leaves_nothing_behind_and_a_good_one_can_follow() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let good = scene(1, 2, 200_000);
    let mut damaged = good.clone();
    damaged[16..20].copy_from_slice(&(-1i32).to_le_bytes());
    let packed = zstd::encode_all(&good[..], 3).unwrap();
    let bad_ones = [
        (b"#!/bin/sh\nrm -rf /\n".repeat(50_000), "not-a-blend"),
        (Vec::new(), "not-a-blend"),
        (good[..good.len() - 1].to_vec(), "truncated-blend"),
        (good[..5].to_vec(), "truncated-blend"),
        (packed[..packed.len() / 2].to_vec(), "truncated-blend"),
        (damaged, "damaged-blend"),
    ];
    for (bytes, name) in bad_ones {
        let length = bytes.len();
        let (status, body) = client.upload(&job, bytes).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{length}: {body}");
        assert_eq!(problem(&body), name, "{length}: {body}");
        assert_still_waits(&client, &job).await;
    }
    assert_eq!(node.log.read(|state| state.files.len()), 0);
    let (status, body) = client.upload(&job, packed).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    node.stop().await;
}

#[tokio::test]
async fn a_file_larger_than_the_limit_is_refused_with_and_without_a_length() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let too_large = scene(1, 2, MAX_UPLOAD_BYTES as usize + 200_000);
    let (status, body) = client.upload(&job, too_large.clone()).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(problem(&body), "too-large");

    let pieces: Vec<Vec<u8>> = too_large.chunks(50_000).map(<[u8]>::to_vec).collect();
    let pieces = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let part = Part::stream(reqwest::Body::wrap_stream(pieces)).file_name("a.blend");
    let form = Form::new().part("file", part);
    let path = format!("/api/jobs/{job}/upload");
    let (status, body) = answer(client.request(Method::POST, &path).multipart(form)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(problem(&body), "too-large");
    // A bomb: few bytes that unpack to many.
    let bomb = scene(1, 2, 16 * MAX_UPLOAD_BYTES as usize);
    let (status, body) = client
        .upload(&job, zstd::encode_all(&bomb[..], 9).unwrap())
        .await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
    assert_still_waits(&client, &job).await;
    node.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_none_or_breaks_off_is_refused() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let path = format!("/api/jobs/{job}/upload");
    let other_part = Form::new().text("scene", "x");
    let (status, body) = answer(client.request(Method::POST, &path).multipart(other_part)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem(&body), "bad-upload");
    let raw = client.request(Method::POST, &path).body(scene(1, 2, 10));
    let (status, body) = answer(raw).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(problem(&body), "wrong-media-type");
    // The whole .blend came, and the end of the multipart body did not.
    let head =
        "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.blend\"\r\n\r\n";
    let broken = [head.as_bytes(), &scene(1, 2, 10)].concat();
    let broken = client
        .request(Method::POST, &path)
        .header("content-type", "multipart/form-data; boundary=XX")
        .body(broken);
    let (status, body) = answer(broken).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem(&body), "bad-upload");
    assert_still_waits(&client, &job).await;
    node.stop().await;
}
