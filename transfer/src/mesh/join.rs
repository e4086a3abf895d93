//! The join protocol: all that a peer which is not a member can say, and be told.
//!
//! On one stream, messages in turn, the joiner first:
//!
//! 1. `Hello` → the farm's beacon, or nothing; or
//! 2. `Challenge` → the farm's public key and its signature over the challenge and the joiner's
//!    PeerId (which Noise has proven, so that nobody can pass a proof on); the joiner compares the
//!    key with its ticket and checks the signature, and only then
//! 3. `Admit` with the ticket's secret → what the farm wants the joiner to know, or its refusal.
//!
//! The joiner should be able to ask twice: when the answer to `Admit` is lost it turns to another
//! member with the same secret, which the farm must treat as the same join (same PeerId).

use std::io;
use std::time::Duration;

use libp2p::identity::ed25519;
use libp2p::{PeerId, Stream, StreamProtocol};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::frames::{read_frame, write_frame};
use super::{Admission, FarmBeacon, FarmProof, JoinError, JoinRefusal, JoinRequest};

pub(super) const JOIN_PROTOCOL: StreamProtocol = StreamProtocol::new("/jiggablend/join/1");

/// Joins and questions served at a time; more are turned away.
pub(super) const MAX_JOINS_AT_A_TIME: usize = 32;
/// What a peer that is no member may send in one message.
const MAX_QUESTION_BYTES: usize = 16 * 1024;
/// The farm's answer carries its member list.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// How long the next message of a joiner is waited for.
const NEXT_QUESTION: Duration = Duration::from_secs(10);
/// How long a farm may take over an answer: admitting waits for a quorum.
const ANSWER: Duration = Duration::from_secs(30);
const MAX_FARM_NAME_BYTES: usize = 256;

const SIGNED_PREFIX: &[u8] = b"jiggablend join";

#[derive(Serialize, Deserialize)]
enum Question {
    Hello,
    Challenge([u8; 32]),
    Admit(JoinRequest),
}

type HelloAnswer = Option<FarmBeacon>;
type ProofAnswer = Result<FarmProof, String>;
type AdmitAnswer = Result<Vec<u8>, JoinRefusal>;

impl FarmProof {
    /// The bytes that the farm's key signs to prove itself to this joiner.
    pub fn signed_bytes(joiner: PeerId, challenge: &[u8; 32]) -> Vec<u8> {
        [SIGNED_PREFIX, challenge, &joiner.to_bytes()].concat()
    }

    /// True where the proof is of the farm that the ticket names, made for this joiner now.
    fn proves(&self, farm: [u8; 32], joiner: PeerId, challenge: &[u8; 32]) -> bool {
        let is_the_farms_key = *blake3::hash(&self.public_key).as_bytes() == farm;
        let Ok(key) = ed25519::PublicKey::try_from_bytes(&self.public_key) else {
            return false;
        };
        is_the_farms_key && key.verify(&Self::signed_bytes(joiner, challenge), &self.signature)
    }
}

/// Serves one stream of a peer that may be anyone.
pub(super) async fn serve(
    joiner: PeerId,
    mut stream: Stream,
    beacon: Option<FarmBeacon>,
    admission: &dyn Admission,
) -> io::Result<()> {
    match next_question(&mut stream).await? {
        Some(Question::Hello) => send(&mut stream, &beacon, MAX_ANSWER_BYTES).await,
        Some(Question::Challenge(challenge)) => {
            let proof: ProofAnswer = admission.prove(joiner, challenge).await;
            send(&mut stream, &proof, MAX_ANSWER_BYTES).await?;
            let Some(Question::Admit(request)) = next_question(&mut stream).await? else {
                return Ok(());
            };
            let answer: AdmitAnswer = admission.admit(joiner, request).await;
            send(&mut stream, &answer, MAX_ANSWER_BYTES).await
        }
        Some(Question::Admit(_)) | None => Ok(()),
    }
}

async fn next_question(stream: &mut Stream) -> io::Result<Option<Question>> {
    tokio::time::timeout(NEXT_QUESTION, receive(stream, MAX_QUESTION_BYTES)).await?
}

/// Asks a neighbour for its farm.
pub(super) async fn ask_for_farm(mut stream: Stream) -> io::Result<Option<FarmBeacon>> {
    send(&mut stream, &Question::Hello, MAX_QUESTION_BYTES).await?;
    let answer = receive(&mut stream, MAX_QUESTION_BYTES);
    let beacon: HelloAnswer = tokio::time::timeout(NEXT_QUESTION, answer)
        .await??
        .unwrap_or_default();
    Ok(beacon.filter(|beacon| beacon.name.len() <= MAX_FARM_NAME_BYTES))
}

/// Why one member could not be joined through.
pub(super) enum Attempt {
    /// The farm has spoken, asking another member is no use.
    Final(JoinError),
    /// Another member may do better.
    TryOther(String),
    OtherFarm,
}

/// Joins through one member: checks who it is, then shows the secret.
pub(super) async fn join_through(
    mut stream: Stream,
    farm: [u8; 32],
    joiner: PeerId,
    request: JoinRequest,
) -> Result<Vec<u8>, Attempt> {
    let challenge: [u8; 32] = rand::random();
    let proof: ProofAnswer = ask(&mut stream, &Question::Challenge(challenge))
        .await
        .map_err(|error| Attempt::TryOther(format!("asking who it is: {error}")))?;
    let proof = proof.map_err(Attempt::TryOther)?;
    if !proof.proves(farm, joiner, &challenge) {
        return Err(Attempt::OtherFarm);
    }
    let answer: AdmitAnswer = ask(&mut stream, &Question::Admit(request))
        .await
        .map_err(|error| Attempt::TryOther(format!("asking to be admitted: {error}")))?;
    match answer {
        Ok(welcome) => Ok(welcome),
        Err(JoinRefusal::Unavailable(reason)) => Err(Attempt::TryOther(reason)),
        Err(refusal) => Err(Attempt::Final(JoinError::Refused(refusal))),
    }
}

async fn ask<A: DeserializeOwned>(stream: &mut Stream, question: &Question) -> io::Result<A> {
    send(stream, question, MAX_QUESTION_BYTES).await?;
    tokio::time::timeout(ANSWER, receive(stream, MAX_ANSWER_BYTES))
        .await??
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

async fn send(stream: &mut Stream, message: &impl Serialize, limit_bytes: usize) -> io::Result<()> {
    let bytes = rmp_serde::to_vec(message).map_err(io::Error::other)?;
    write_frame(stream, &[&bytes], limit_bytes).await
}

async fn receive<A: DeserializeOwned>(
    stream: &mut Stream,
    limit_bytes: usize,
) -> io::Result<Option<A>> {
    let Some(bytes) = read_frame(stream, limit_bytes).await? else {
        return Ok(None);
    };
    rmp_serde::from_slice(&bytes)
        .map(Some)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_joiner_one_challenge_and_one_farm() {
        let key = ed25519::Keypair::generate();
        let public_key = key.public().to_bytes();
        let farm = *blake3::hash(&public_key).as_bytes();
        let joiner = PeerId::random();
        let proof = FarmProof {
            public_key,
            signature: key.sign(&FarmProof::signed_bytes(joiner, &[1; 32])),
        };
        assert!(proof.proves(farm, joiner, &[1; 32]));
        assert!(!proof.proves(farm, joiner, &[2; 32]));
        assert!(!proof.proves(farm, PeerId::random(), &[1; 32]));
        assert!(!proof.proves([0; 32], joiner, &[1; 32]));
    }
}
